// The notice before a shutdown: readiness answers 503, every reply asks its client to connect elsewhere, and requests are
// served as before, so that a load balancer notices before a request is refused.
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** True from the moment that the notice begins. */
    draining(): boolean
    /** Begins the notice, and resolves after it. Close the application then. */
    drain(noticeMs: number): Promise<void>
    /** Requests that came in and are not over. */
    inFlight(): number
  }
}

async function drainPlugin(app: FastifyInstance): Promise<void> {
  let draining = false
  let inFlight = 0
  app.decorate('inFlight', () => inFlight)
  app.decorate('draining', () => draining)
  app.decorate('drain', async (noticeMs: number) => {
    draining = true
    if (noticeMs > 0) await sleep(noticeMs)
  })
  app.addHook('preClose', async () => {
    draining = true
  })
  app.addHook('onRequest', (_request, reply, done) => {
    inFlight++
    // Fires once for every request, however it ends, except one behind another in a pipeline whose client has disconnected.
    reply.raw.once('close', () => inFlight--)
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (draining) reply.header('connection', 'close')
    done(null, payload)
  })
}

export const drain = fp(drainPlugin, { name: 'fastify-distributed-tenant-drain', fastify: '5.x' })
export default drain
