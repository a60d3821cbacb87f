// A subscriber of the diagnostics channels: prints which tenant became ready, and which was removed with its database.
// Run, with the variables of examples/README.md: node dist/examples/05-subscribe.js
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { distributedTenant, type PublishedStep, subscribe } from 'fastify-distributed-tenant'

function print(step: PublishedStep): void {
  if (step.area === 'provision' && step.event.step === 'ready') {
    console.log(`${step.service}: ${step.event.id} became ready in ${Math.round(step.event.ms)} ms`)
  }
  if (step.area === 'purge' && step.event.step === 'removed') {
    console.log(`${step.service}: ${step.event.id} was removed`)
  }
}

// Only these two areas. `lease`, `lookup`, `query` and `access` publish steps for every request: without a subscriber they
// cost nothing. `undefined`: the steps of every instance of the plugin in this process. Before `register`, to miss none.
const stop = subscribe(print, undefined, ['provision', 'purge'])

// The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
const app = Fastify({ logger: { level: 'warn' }, pluginTimeout: 60_000 })
app.addHook('onClose', async () => stop())
await app.register(distributedTenant)
// Without routes `ready` is enough: from here on the plugin consumes events.
await app.ready()

closeWithGrace(() => app.close())
