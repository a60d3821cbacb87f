// The process that is shut down: a service like every other, through the same edge. Its routes are the cases that a
// shutdown has to deal with: quick and slow queries, a stream that ends on request, and one that never does.
import { setTimeout as sleep } from 'node:timers/promises'
import { createService } from '../../services/create-service.js'
import { serve } from '../../services/serve.js'
import { migrations } from '../ours.js'

const config = { tenant: 'required' } as const

await serve(
  options =>
    createService(
      {
        name: 'hunted',
        description: 'What leaves.',
        migrations: { tenant: new URL(`file://${migrations}/`) },
        routes: async app => {
          let leaving = false
          app.addHook('preClose', async () => {
            leaving = true
          })
          app.get('/quick/:id', { config }, async request => {
            await request.sql`select count(*) from items`
            return { ok: true }
          })
          app.get('/slow/:id', { config }, async request => {
            await request.sql`select pg_sleep(1)`
            return { ok: true }
          })
          app.post('/body/:id', { config }, async () => ({ ok: true }))
          app.get('/stream/:id', { config: { tenant: false } }, async (_request, reply) => {
            reply.hijack()
            reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
            while (!leaving && !reply.raw.destroyed) {
              reply.raw.write('data: .\n\n')
              await sleep(50)
            }
            reply.raw.end('data: the end\n\n')
          })
          app.get('/endless/:id', { config: { tenant: false } }, (_request, reply) => {
            reply.hijack()
            reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
            reply.raw.write('data: .\n\n')
          })
        },
      },
      { ...options, tenancy: { source: true } },
    ),
  { name: 'hunted', port: 0 },
)
