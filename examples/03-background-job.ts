// A job over all ready tenants, as cron would start it. It logs the failure of one tenant and goes on with the others.
// Run, with the variables of 02-own-service: node dist/examples/03-background-job.js
import Fastify from 'fastify'
import { distributedTenant, type RegistryRow } from 'fastify-distributed-tenant'

const PAGE = 100

// The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
const app = Fastify({ logger: true, pluginTimeout: 60_000 })

// Without `ready` and `listen` the process consumes no events and provisions no tenants: the service does both.
await app.register(distributedTenant, {
  migrations: { tenant: new URL('./02-own-service/migrations/', import.meta.url) },
  nats: null,
  maxConnections: 2,
})

async function* readyTenants(): AsyncGenerator<RegistryRow> {
  let page: RegistryRow[]
  let after = ''
  do {
    page = await app.tenants.list({ lifecycle: 'active', limit: PAGE, after })
    yield* page.filter(({ provisioned }) => provisioned === 'ready')
    after = page.at(-1)?.id ?? after
  } while (page.length === PAGE)
}

let failed = 0
for await (const { id } of readyTenants()) {
  try {
    const reminded = await app.tenants.run(
      id,
      ({ sql }) => sql`update invoices set reminded = true where due < current_date and not reminded returning id`,
    )
    app.log.info({ tenant: id, reminded: reminded.length }, 'reminders are due')
  } catch (err) {
    failed++
    app.log.error({ err, tenant: id }, 'the job failed for this tenant')
  }
}

await app.close()
if (failed > 0) process.exitCode = 1
