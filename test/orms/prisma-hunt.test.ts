// A hunt for rows of another tenant through one PrismaClient: 2,000 requests of two tenants over sockets, a part of them
// aborted, and backends killed meanwhile.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PrismaClient } from '../../bench/orms/prisma/generated/client.js'
import { createPrisma } from '../../orms/prisma/index.js'
import { rig } from '../rig.js'
import { until } from '../until.js'

const REQUESTS = 2_000
const TOGETHER = 40
const ROWS = 20
const tenants = ['acme', 'globex'] as const
/** P2028 is Prisma's own, for a transaction that could not begin in time or whose connection was killed. */
const allowed: ReadonlySet<number | string> = new Set([
  200,
  'aborted',
  'TENANT_BUSY',
  'TENANT_DATABASE_UNAVAILABLE',
  'TENANT_COMMIT_UNKNOWN',
  'P2028',
])

t.test('no reply and no database holds a row of another tenant', { timeout: 2_390_000 }, async t => {
  const stand = await rig(t, ['notes'])
  const app = await stand.app('notes', { maxConnections: 10, acquireTimeout: 5_000 }, app => {
    const prisma = createPrisma({ tenants: app.tenants }, adapter => new PrismaClient({ adapter }))
    const ids = () => Array.from({ length: 3 }, () => BigInt(1 + Math.floor(Math.random() * ROWS)))
    const bodies = (notes: readonly ({ body: string } | null)[]) => notes.map(note => note?.body ?? '')
    app.register(
      async routes => {
        routes.get('/unique', async () =>
          bodies(await Promise.all(ids().map(id => prisma.note.findUnique({ where: { id } })))),
        )
        routes.get('/many', async () => bodies(await prisma.note.findMany({ where: { id: { in: ids() } } })))
        routes.get('/batch', async request => {
          const data = { body: `${request.tenantId} ${request.id} batch` }
          return bodies(await prisma.$transaction([prisma.note.create({ data }), prisma.note.findFirst()]))
        })
        routes.get('/interactive', async request =>
          prisma.$transaction(
            async tx => {
              await tx.note.create({ data: { body: `${request.tenantId} ${request.id} interactive` } })
              return bodies(await Promise.all(ids().map(id => tx.note.findUnique({ where: { id } }))))
            },
            { maxWait: 5_000 },
          ),
        )
        routes.get('/careless', async () => {
          prisma.$queryRaw`select pg_sleep(0.1)`.catch(() => {})
          return bodies(await prisma.note.findMany({ take: 3 }))
        })
      },
      { tenant: 'required' },
    )
  })
  for (const id of tenants) {
    await app.tenants.create({ id, name: id })
    await app.tenants.run(
      id,
      ({ sql }) => sql`insert into notes (body) select ${id} || ' ' || n from generate_series(1, ${ROWS}::int) n`,
    )
  }
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const look = stand.look('notes')

  const foreign: string[] = []
  const statuses = new Map<number | string, number>()
  let sent = 0
  async function ask(): Promise<void> {
    const tenant = tenants[sent % 2] as string
    const route = ['unique', 'unique', 'many', 'batch', 'interactive', 'careless'][Math.floor(Math.random() * 6)]
    sent++
    // One in ten leaves at any time while it is answered.
    const signal = Math.random() < 0.1 ? AbortSignal.timeout(Math.floor(Math.random() * 20)) : null
    let outcome: number | string = 'aborted'
    try {
      const response = await fetch(`${address}/${route}`, { headers: { 'hrms-client-id': tenant }, signal })
      outcome = response.status
      const reply = (await response.json()) as string[] | { code: string }
      if (!Array.isArray(reply)) outcome = reply.code
      else {
        for (const body of reply) {
          if (!body.startsWith(`${tenant} `)) foreign.push(`${route} of ${tenant}: ${body}`)
        }
      }
    } catch (error) {
      if (!signal?.aborted) throw error
    }
    statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1)
  }
  let hunting = true
  const killer = (async () => {
    while (hunting) {
      await look`select pg_terminate_backend(pid) from pg_stat_activity where datname like 'tenant\\_%\\_notes' order by random() limit 1`
      await sleep(200)
    }
  })()
  await Promise.all(
    Array.from({ length: TOGETHER }, async () => {
      while (sent < REQUESTS) await ask()
    }),
  )
  hunting = false
  await killer

  t.same(foreign, [], 'no foreign row in a reply')
  for (const id of tenants) {
    await app.tenants.run(id, async ({ sql }) => {
      t.same(
        [...(await sql`select body from notes where not starts_with(body, ${`${id} `})`)],
        [],
        `none in the database of ${id}`,
      )
    })
  }
  t.ok((statuses.get(200) ?? 0) > REQUESTS / 2, JSON.stringify([...statuses]))
  t.same(
    [...statuses.keys()].filter(outcome => !allowed.has(outcome)),
    [],
    'no other failures',
  )
  await until('every connection is back', () => app.tenants.connectionInfo().inUse === 0)
  t.comment(JSON.stringify([...statuses]))
})
