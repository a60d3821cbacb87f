// The service that is hunted: the plugin on real servers, and routes that do what handlers do and ought not to do. Every
// reply carries the secret of the database it came from, and the leftovers of others in its session.
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import type { Arm, ArmConfig } from '../arm.js'
import { causeOf } from '../orms/orm.js'
import { answersOf, pluginOptions } from '../ours.js'
import { byClient, type Way, type WayOf } from './ways.js'

class Wanted extends Error {
  readonly statusCode = 418
}

export const make = (config: ArmConfig): Promise<Arm> => makeHunted(config, byClient)

/** @param wayOf how its routes reach the database of their tenant */
export async function makeHunted(config: ArmConfig, wayOf: WayOf): Promise<Arm> {
  const app = Fastify({ bodyLimit: 1_000_000 })
  // An ORM may keep the coded error as the cause of its own.
  app.setErrorHandler((error, _request, reply) => reply.send(causeOf(error) ?? error))
  await app.register(distributedTenant, pluginOptions(config))
  const way = (request: FastifyRequest): Way => wayOf(request.sql)
  app.get('/read', request => way(request).probe())

  app.post('/write', async request => {
    const { token } = request.body as { token: string }
    const own = way(request)
    await own.insert(token, request.tenantId, 'write')
    return own.probe()
  })

  app.get('/transaction/:token', request => {
    const { token } = request.params as { token: string }
    return way(request).transaction(async inside => {
      const found = await inside.probe()
      await inside.insert(token, request.tenantId, 'transaction')
      await inside.run('update secret set uses = uses + 1')
      return found
    })
  })

  app.get('/rollback/:token', request => {
    const { token } = request.params as { token: string }
    return way(request).transaction(async inside => {
      await inside.insert(token, request.tenantId, 'rolled back')
      throw new Wanted('rolled back as wanted')
    })
  })

  app.get('/throw', async request => {
    await way(request).probe()
    throw new Wanted('thrown as wanted')
  })

  app.get('/unsafe', async request => {
    const [found] = await way(request).run('select value as secret from secret')
    return found
  })

  app.get('/leave/:which', async request => {
    const { which } = request.params as { which: string }
    const own = way(request)
    await own.leave(Number(which))
    return own.probe()
  })

  app.get('/stream', (request, reply) => stream(way(request), reply))

  /** Answers before its query is over: the query must not outlive the request. */
  app.get('/careless', async request => {
    const own = way(request)
    own.run('select pg_sleep(0.2)').catch(() => {})
    return own.probe()
  })

  await app.ready()
  return { app, answers: answersOf(app, config) }
}

/** Rows by a cursor, a line each, so that a client can disconnect in the middle. */
async function stream(way: Way, reply: FastifyReply): Promise<void> {
  const rows = way.stream('select value as secret, n from secret, generate_series(1, 100) n', 20)
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
