// One PrismaClient for all tenants of a process. `bench/orms/prisma/generated` was made of `schema.prisma` beside it by `prisma generate`.
import pg from 'pg'
import t from 'tap'
import { Prisma, PrismaClient } from '../../bench/orms/prisma/generated/client.js'
import { createPrisma } from '../../orms/prisma/index.js'
import { subscribe } from '../../plugins/distributed-tenant/index.js'
import { rig } from '../rig.js'
import { until } from '../until.js'

const stand = await rig(t, ['notes'])
let prisma!: PrismaClient
const app = await stand.app('notes', {}, app => {
  prisma = createPrisma({ tenants: app.tenants }, adapter => new PrismaClient({ adapter }))
  app.get<{ Querystring: { ids: string } }>('/notes', { config: { tenant: 'required' } }, async request => {
    const found = await Promise.all(
      request.query.ids.split(',').map(id => prisma.note.findUnique({ where: { id: BigInt(id) } })),
    )
    return found.map(note => note?.body ?? null)
  })
  app.post<{ Body: string[] }>('/notes', { config: { tenant: 'required' } }, async request => {
    await prisma.$transaction(request.body.map(body => prisma.note.create({ data: { body } })))
    return {}
  })
  app.get('/held', { config: { tenant: 'required' } }, async (_request, reply) => {
    const transaction = prisma.$transaction(
      async tx => {
        await tx.note.create({ data: { body: 'of a request that is over' } })
        await reply.send({})
        await over
        await tx.note.count()
      },
      { timeout: 30_000 },
    )
    transaction.catch(() => {})
    held([transaction])
  })
  app.get('/nowhere', { config: { tenant: false } }, () => prisma.note.count())
  app.get('/unnamed', () => prisma.note.count())
  app.addHook('onResponse', async () => ended())
})
let ended: () => void = () => {}
const over = new Promise<void>(resolve => {
  ended = resolve
})
/** In a list, as a promise of a promise is one. */
let held!: (transaction: [Promise<void>]) => void
const holding = new Promise<[Promise<void>]>(resolve => {
  held = resolve
})
const tenants = ['acme', 'globex', 'initech']
for (const id of tenants) await app.tenants.create({ id, name: id })
const { host, port, user, password } = stand.servers.postgres.notes as never as Record<string, string>

const as = <T>(id: string, work: () => Promise<T>): Promise<T> => app.tenants.run(id, work)
const each = <T>(work: (id: string) => Promise<T>): Promise<T[]> =>
  Promise.all(tenants.map(id => as(id, () => work(id))))

t.test('look-ups of one turn are joined within a tenant, and never across tenants', async t => {
  await each(id => prisma.note.createMany({ data: [{ body: `${id} 1` }, { body: `${id} 2` }] }))
  let statements = 0
  const off = subscribe(
    step => {
      // The service's own database is asked for other things meanwhile.
      if (step.area === 'query' && step.pool === 'tenant' && step.event.type === 'sent') statements++
    },
    app.tenants.origin,
    ['query'],
  )
  const found = await each(() => Promise.all([1n, 2n].map(id => prisma.note.findUnique({ where: { id } }))))
  off()
  t.same(
    found.map(notes => notes.map(note => note?.body)),
    tenants.map(id => [`${id} 1`, `${id} 2`]),
  )
  t.equal(statements, 3, 'one for each tenant')
  const [answers, more] = await Promise.all(
    ['1,2,9', '2'].map(ids =>
      Promise.all(tenants.map(id => app.inject({ url: `/notes?ids=${ids}`, headers: { 'hrms-client-id': id } }))),
    ),
  )
  t.same(
    answers?.map(answer => answer.json()),
    tenants.map(id => [`${id} 1`, `${id} 2`, null]),
  )
  t.same(
    more?.map(answer => answer.json()),
    tenants.map(id => [`${id} 2`]),
  )
})

t.test('batches and transactions of several tenants at a time', async t => {
  await each(id => prisma.$transaction([prisma.note.create({ data: { body: `batch ${id}` } }), prisma.note.count()]))
  const posted = await Promise.all(
    tenants.map(id =>
      app.inject({
        method: 'POST',
        url: '/notes',
        headers: { 'hrms-client-id': id },
        payload: [`posted ${id}`, 'other'],
      }),
    ),
  )
  t.same(
    posted.map(({ statusCode }) => statusCode),
    [200, 200, 200],
  )
  await each(id =>
    prisma.$transaction(
      async tx => {
        await tx.note.create({ data: { body: `interactive ${id}`, mood: 'busy', tags: ['a,b', '"'] } })
        await tx.note.findUnique({ where: { body: `interactive ${id}` } })
      },
      { isolationLevel: 'Serializable' },
    ),
  )
  const failed = await each(id =>
    prisma
      .$transaction(async tx => {
        await tx.note.create({ data: { body: `rolled back ${id}` } })
        throw new Error(`of ${id}`)
      })
      .catch((error: Error) => error.message),
  )
  t.same(
    failed,
    tenants.map(id => `of ${id}`),
  )
  const bodies = await each(() => prisma.note.findMany({ orderBy: { body: 'asc' }, select: { body: true } }))
  t.same(
    bodies.map(notes => notes.map(({ body }) => body)),
    tenants.map(id => [`${id} 1`, `${id} 2`, `batch ${id}`, `interactive ${id}`, 'other', `posted ${id}`].toSorted()),
  )
  t.match(await as('acme', () => prisma.note.findUnique({ where: { body: 'interactive acme' } })), {
    mood: 'busy',
    tags: ['a,b', '"'],
  })
  const taken = as('acme', () => prisma.note.create({ data: { body: 'other' } }))
  await t.rejects(taken, { code: 'P2002' }, 'errors are those of Prisma')
  t.same(await as('globex', () => prisma.$queryRaw`select current_database()::text as name, ${5}::int as five`), [
    { name: 'tenant_globex_notes', five: 5 },
  ])
  t.equal(app.tenants.connectionInfo().inUse, 0)
})

t.test('outside of a tenant’s work it is refused, with our code', async t => {
  await t.rejects(prisma.note.count(), { code: 'TENANT_CONTEXT_MISSING', statusCode: 500 })
  await t.rejects(prisma.note.findUnique({ where: { id: 1n } }), { code: 'TENANT_CONTEXT_MISSING' })
  await t.rejects(prisma.$transaction([prisma.note.count()]), { code: 'TENANT_CONTEXT_MISSING' })
  await t.rejects(
    prisma.$transaction(tx => tx.note.count()),
    { code: 'TENANT_CONTEXT_MISSING' },
  )
  const made = as('acme', async () => ({ lazy: prisma.note.count() }))
  await t.rejects((await made).lazy, { code: 'TENANT_CONTEXT_MISSING' }, 'it counts where it is awaited')
  t.match((await app.inject({ url: '/nowhere', headers: { 'hrms-client-id': 'acme' } })).json(), {
    code: 'TENANT_CONTEXT_MISSING',
  })
  t.match((await app.inject('/unnamed')).json(), { code: 'TENANT_REQUIRED', statusCode: 400 })
})

t.test('a transaction ends with its request', async t => {
  t.equal((await app.inject({ url: '/held', headers: { 'hrms-client-id': 'acme' } })).statusCode, 200)
  const [transaction] = await holding
  await t.rejects(transaction, { code: 'TENANT_CLIENT_RELEASED' })
  t.equal(await as('acme', () => prisma.note.count({ where: { body: 'of a request that is over' } })), 0)
  t.equal(app.tenants.connectionInfo().inUse, 0)
})

t.test('a killed backend, a spent budget', async t => {
  const look = new pg.Client({
    host,
    port: Number(port),
    user,
    password,
    database: 'tenant_acme_notes',
  } as pg.ClientConfig)
  await look.connect()
  t.teardown(() => look.end())
  await as('acme', async () => {
    const transaction = prisma.$transaction(async tx => {
      const [{ pid }] = (await tx.$queryRaw`select pg_backend_pid() as pid`) as [{ pid: number }]
      await look.query('select pg_terminate_backend($1)', [pid])
      await tx.note.count()
    })
    await t.rejects(transaction, { code: 'TENANT_DATABASE_UNAVAILABLE', statusCode: 503 })
    t.type(await prisma.note.count(), 'number')
  })
  let small!: PrismaClient
  const narrow = await stand.app('notes', { maxConnections: 1, acquireTimeout: 1_000 }, app => {
    small = createPrisma({ tenants: app.tenants }, adapter => new PrismaClient({ adapter }))
  })
  await narrow.tenants.run('acme', () =>
    small.$transaction(
      async () => {
        await t.rejects(
          narrow.tenants.run('globex', () => small.note.count()),
          { code: 'TENANT_BUSY', statusCode: 503, headers: { 'retry-after': '1' } },
        )
      },
      { timeout: 30_000 },
    ),
  )
})

t.test('a moment is read as it is, or refused where the time zone of the sessions is not UTC', async t => {
  const look = new pg.Client({ host, port: Number(port), user, password, database: 'postgres' } as pg.ClientConfig)
  await look.connect()
  t.teardown(() => look.end())
  const read = (client: Pick<PrismaClient, '$queryRaw'>) => client.$queryRaw`
    select '2024-07-01 12:00+00'::timestamptz as at, '{2024-07-01 12:00+00}'::timestamptz[] as list, now()::timestamp as local`
  const moment = { at: new Date('2024-07-01T12:00Z'), list: [new Date('2024-07-01T12:00Z')] }
  const to = async (zone: string): Promise<void> => {
    await look.query(`alter database tenant_globex_notes set timezone = '${zone}'`)
    await look.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'tenant_globex_notes'`)
    await until(`sessions in ${zone}`, () =>
      app.tenants
        .run('globex', ({ sql }) => sql<{ zone: string }[]>`select current_setting('timezone') as zone`)
        .then(
          ([found]) => found?.zone === zone,
          () => false,
        ),
    )
  }
  await to('UTC')
  t.match(await as('globex', () => read(prisma)), [moment])
  await to('Asia/Kolkata')
  const refused = { code: 'CONFIGURATION_INVALID', message: /alter system set timezone = 'UTC'/ }
  await t.rejects(
    as('globex', () => read(prisma)),
    refused,
  )
  await t.rejects(
    as('globex', () => prisma.$transaction(tx => read(tx))),
    refused,
  )
  await t.rejects(
    as('globex', () => prisma.$queryRaw`select '{2024-07-01 12:00+00}'::timestamptz[]`),
    refused,
  )
  t.match(await as('globex', () => prisma.$queryRaw`select '2024-07-01 12:00'::timestamp as at`), [{ at: moment.at }])
  t.match(await as('globex', () => prisma.$queryRaw`select 'infinity'::timestamptz::text as at`), [{ at: 'infinity' }])
  await look.query('alter database tenant_globex_notes reset timezone')
})

t.test('a client that is made in another way is refused', async t => {
  class Other {}
  t.throws(() => createPrisma({ tenants: app.tenants }, () => new Other()), {
    code: 'CONFIGURATION_INVALID',
    message: /7\.10/,
  })
  t.ok(Prisma.prismaVersion.client.startsWith('7.10'))
})
