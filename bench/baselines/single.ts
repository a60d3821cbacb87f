// Rival: one hard-coded pool on one database and no tenants. The limit of what one service can do with its budget.
import Fastify from 'fastify'
import postgres from 'postgres'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'
import { addRoutes } from '../routes.js'

export function make({ login, service, tenants, budget }: ArmConfig): Arm {
  const [only = ''] = tenants
  const sql = postgres({ ...login, database: databaseOf(only, service), max: budget, onnotice() {} })
  const app = Fastify()
  addRoutes(app, () => sql)
  return { app }
}
