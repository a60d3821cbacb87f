// The plugin alone: one route that answers from the database of the request's tenant.
// Run, with the variables of examples/README.md: node dist/examples/01-plugin.js
import Fastify from 'fastify'
import { distributedTenant } from 'fastify-distributed-tenant'

// The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
const app = Fastify({ logger: true, pluginTimeout: 60_000 })
await app.register(distributedTenant)

// `required`: a request that names no tenant gets 400, one that names an unknown tenant 404. The handler runs for neither.
app.get('/', { config: { tenant: 'required' } }, async request => {
  const [row] = await request.sql<{ database: string }[]>`select current_database() as database`
  return { tenant: request.tenant.name, database: row?.database }
})

await app.listen({ port: Number(process.env.PORT ?? 3004) })
