// Rival: a Map with one `postgres` pool of ten for each tenant, as most hand-rolled code has it. No ceiling over tenants.
import Fastify from 'fastify'
import type { Arm, ArmConfig } from '../arm.js'
import { addRoutes } from '../routes.js'
import { postgresPools } from './postgres-pools.js'
import { tenantOf } from './tenant-of.js'

export function make(config: ArmConfig): Arm {
  const app = Fastify()
  const pools = postgresPools(config, {})
  const known = new Set(config.tenants)
  addRoutes(app, request => pools.of(tenantOf(request, known)))
  return { app, answers: { create: count => pools.create(count as number) } }
}
