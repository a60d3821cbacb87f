// A service of your own: a migration, two routes, and a close on SIGTERM that finishes the accepted requests.
// Run, with the variables of examples/README.md: node dist/examples/02-own-service/main.js
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import { distributedTenant } from 'fastify-distributed-tenant'

interface Invoice {
  amount: number
  /** YYYY-MM-DD */
  due: string
}

const body = {
  type: 'object',
  required: ['amount', 'due'],
  properties: { amount: { type: 'integer' }, due: { type: 'string', format: 'date' } },
}

// The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
const app = Fastify({ logger: true, pluginTimeout: 60_000 })

// Every tenant database gets these migrations when it is made. `distributed-tenant migrate` brings later ones to all tenants.
await app.register(distributedTenant, { migrations: { tenant: new URL('./migrations/', import.meta.url) } })

app.get(
  '/invoices',
  { config: { tenant: 'required' } },
  request => request.sql`select id, amount, due::text, reminded from invoices order by id`,
)

app.post<{ Body: Invoice }>(
  '/invoices',
  { config: { tenant: 'required' }, schema: { body } },
  async (request, reply) => {
    const { amount, due } = request.body
    const [invoice] = await request.sql`
    insert into invoices (amount, due) values (${amount}, ${due}) returning id, amount, due::text, reminded`
    return reply.code(201).send(invoice)
  },
)

// `close` refuses new requests, waits for the accepted ones, and then closes the connections. The deadline ends a close that hangs.
closeWithGrace({ delay: 10_000, logger: app.log }, async ({ signal, err }) => {
  app.log.info({ signal, err }, 'closing')
  await app.close()
})

await app.listen({ port: Number(process.env.PORT ?? 3004) })
