// One process of a small service, for tests of several: its options come as JSON in REPLICA_OPTIONS, as arguments are seen by all, its port goes to the parent.
// SIGTERM closes it; the requests under way are answered.
import Fastify from 'fastify'
import { type DistributedTenantOptions, distributedTenant } from '../../../../plugins/distributed-tenant/index.js'

const options = JSON.parse(process.env.REPLICA_OPTIONS ?? '{}') as DistributedTenantOptions
const app = Fastify({ pluginTimeout: 0, forceCloseConnections: 'idle' })
await app.register(distributedTenant, options)
app.get('/notes', { config: { tenant: 'required' } }, async request => {
  const [row] = await request.sql<{ count: number }[]>`select count(*)::int as count, pg_sleep(0.01) from notes`
  return row
})
await app.listen({ port: 0, host: '127.0.0.1' })
process.once('SIGTERM', () => void app.close().then(() => process.disconnect?.()))
process.send?.((app.server.address() as { port: number }).port)
