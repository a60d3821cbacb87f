// Rival where a connection is not there: connect, one query, close, with nothing else around it. As a route, and as a
// loop at a given parallelism. With both drivers, as they differ, and without the look at pg_type that none of this needs.
import Fastify, { type FastifyRequest } from 'fastify'
import pg from 'pg'
import postgres from 'postgres'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'
import { idOf } from '../routes.js'
import { tenantOf } from './tenant-of.js'

type Visit = (tenant: string, id: number, answered?: (item: unknown) => void) => Promise<void>

export interface Churn {
  readonly driver: 'postgres' | 'pg'
  readonly parallel: number
  readonly seconds: number
}

const statement = 'select id, name, price, stock from items where id = $1'

export function make({ login, service, tenants }: ArmConfig): Arm {
  const app = Fastify()
  const known = new Set(tenants)

  const visits: Record<Churn['driver'], Visit> = {
    async postgres(tenant, id, answered) {
      const sql = postgres({
        ...login,
        database: databaseOf(tenant, service),
        max: 1,
        fetch_types: false,
        onnotice() {},
      })
      const [item] = await sql`select id, name, price, stock from items where id = ${id}`
      answered?.(item)
      await sql.end()
    },
    async pg(tenant, id, answered) {
      const client = new pg.Client({ ...login, database: databaseOf(tenant, service) })
      await client.connect()
      const { rows } = await client.query(statement, [id])
      answered?.(rows[0])
      await client.end()
    },
  }

  // The answer does not wait for the close: neither does a pool's.
  const answer = (withDirectConnection: Visit) => (request: FastifyRequest) =>
    new Promise((resolve, reject) => {
      withDirectConnection(tenantOf(request, known), idOf(request), resolve).catch(reject)
    })
  app.get('/read/postgres/:id', answer(visits.postgres))
  app.get('/read/pg/:id', answer(visits.pg))

  async function churn({ driver, parallel, seconds }: Churn): Promise<number> {
    const end = performance.now() + seconds * 1000
    let done = 0
    let next = 0
    const started = performance.now()
    await Promise.all(
      Array.from({ length: parallel }, async () => {
        while (performance.now() < end) {
          // Strides over the tenants, so that none is visited twice in a row.
          next += 7919
          await visits[driver](tenants[next % tenants.length] as string, 1 + (next % 1000))
          done++
        }
      }),
    )
    return done / ((performance.now() - started) / 1000)
  }

  return { app, answers: { churn: argument => churn(argument as Churn) } }
}
