// The service that is hunted: the plugin on real servers, and routes that do what handlers do and ought not to do. Every
// reply carries the secret of the database it came from, and what its session still had of someone else.
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import type { Arm, ArmConfig } from '../arm.js'
import { answersOf, pluginOptions } from '../ours.js'
import { leftovers } from './leftovers.js'

/** One statement that may share a connection: who am I, and what did the last user of this session leave? */
const probe = (sql: QueryClient) => sql`
  select value as secret, current_setting('hunt.mark', true) as mark,
    to_regclass('hunt_left')::text as temporary, pg_current_xact_id_if_assigned()::text as transaction,
    (select count(*)::int from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') as locks,
    (select count(*)::int from pg_listening_channels()) as channels,
    (select count(*)::int from pg_cursors where is_holdable) as cursors,
    current_setting('search_path') as path, current_setting('default_transaction_read_only') as frozen,
    (select count(*)::int from hunt_writes where tenant < secret.tenant)
      + (select count(*)::int from hunt_writes where tenant > secret.tenant) as strangers
  from secret`

class Wanted extends Error {
  readonly statusCode = 418
}

export async function make(config: ArmConfig): Promise<Arm> {
  const app = Fastify({ bodyLimit: 1_000_000 })
  await app.register(distributedTenant, pluginOptions(config))
  app.get('/read', request => first(probe(request.sql)))

  app.post('/write', async request => {
    const { token } = request.body as { token: string }
    const { sql, tenantId } = request
    await sql`insert into hunt_writes (token, tenant, kind) values (${token}, ${tenantId}, 'write')`
    return first(probe(sql))
  })

  app.get('/transaction/:token', request => {
    const { token } = request.params as { token: string }
    return request.sql.begin(async sql => {
      const found = await first(probe(sql))
      await sql`insert into hunt_writes (token, tenant, kind) values (${token}, ${request.tenantId}, 'transaction')`
      await sql`update secret set uses = uses + 1`
      return found
    })
  })

  app.get('/rollback/:token', request => {
    const { token } = request.params as { token: string }
    return request.sql.begin(async sql => {
      await sql`insert into hunt_writes (token, tenant, kind) values (${token}, ${request.tenantId}, 'rolled back')`
      throw new Wanted('rolled back as wanted')
    })
  })

  app.get('/throw', async request => {
    await probe(request.sql)
    throw new Wanted('thrown as wanted')
  })

  app.get('/unsafe', async request => {
    const [found] = await request.sql.unsafe('select value as secret from secret')
    return found
  })

  app.get('/leave/:which', async (request: FastifyRequest) => {
    const { which } = request.params as { which: string }
    await leftovers[Number(which) % leftovers.length]?.(request.sql)
    return first(probe(request.sql))
  })

  app.get('/stream', (request, reply) => stream(request, reply))

  /** Answers before its query is over: the query must not outlive the request. */
  app.get('/careless', async request => {
    request.sql`select pg_sleep(0.2)`.catch(() => {})
    return first(probe(request.sql))
  })

  await app.ready()
  return { app, answers: answersOf(app, config) }
}

async function first(rows: PromiseLike<readonly unknown[]>): Promise<unknown> {
  const [row] = await rows
  return row
}

/** Rows by a cursor, a line each, so that a client can leave in the middle. */
async function stream(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { sql } = request
  const rows = sql`select value as secret, n from secret, generate_series(1, 100) n`.cursor(20)
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson' })
  try {
    for await (const batch of rows) {
      for (const row of batch) reply.raw.write(`${JSON.stringify(row)}\n`)
    }
    reply.raw.end()
  } catch {
    reply.raw.destroy()
  }
}
