// Rival: a Map with one `pg.Pool` of ten for each tenant. No ceiling over tenants.
import Fastify from 'fastify'
import pg from 'pg'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'
import { addPgRoutes } from './pg-routes.js'
import { tenantOf } from './tenant-of.js'

export function make({ login, service, tenants }: ArmConfig): Arm {
  const app = Fastify()
  const known = new Set(tenants)
  const pools = new Map<string, pg.Pool>()

  function poolOf(tenant: string): pg.Pool {
    let pool = pools.get(tenant)
    if (!pool) {
      pool = new pg.Pool({ ...login, database: databaseOf(tenant, service), max: 10 })
      // Without it a lost idle connection ends the process.
      pool.on('error', () => {})
      pools.set(tenant, pool)
    }
    return pool
  }

  addPgRoutes(app, {
    query: (request, text, values) => poolOf(tenantOf(request, known)).query(text, values),
    async lend(request, work) {
      const client = await poolOf(tenantOf(request, known)).connect()
      try {
        return await work(client)
      } finally {
        client.release()
      }
    },
  })
  return {
    app,
    answers: {
      create(count) {
        for (let n = 0; n < (count as number); n++) poolOf(`idle-${n}`)
      },
    },
  }
}
