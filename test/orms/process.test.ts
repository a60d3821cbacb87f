// In a service: ORMs that a process makes once, outside of a tenant's work and after the response; and the audit log, which
// has a row of each request however its ORM reached the database.
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql'
import type { FastifyInstance } from 'fastify'
import knex from 'knex'
import { Kysely, sql as text } from 'kysely'
import t from 'tap'
import { DataSource } from 'typeorm'
import { overDrizzle, overDrizzleRc } from '../../bench/orms/drizzle.js'
import { overKysely } from '../../bench/orms/kysely.js'
import { overMikro, overPrisma } from '../../bench/orms/of-process.js'
import { overDrizzleOnPg, overKnex, overKyselyOnPg } from '../../bench/orms/on-pg.js'
import type { OrmOver } from '../../bench/orms/orm.js'
import { overPg } from '../../bench/orms/pg.js'
import { PrismaClient } from '../../bench/orms/prisma/generated/client.js'
import { TenantDialect } from '../../orms/kysely/index.js'
import { driverOf, Pool } from '../../orms/pg/index.js'
import { createPrisma } from '../../orms/prisma/index.js'
import audit from '../../plugins/audit/index.js'
import { rig } from '../rig.js'
import { until } from '../until.js'

const over: Readonly<Record<string, OrmOver>> = {
  drizzle: overDrizzle,
  'drizzle-rc': overDrizzleRc,
  'drizzle-on-pg': overDrizzleOnPg,
  kysely: overKysely,
  'kysely-on-pg': overKyselyOnPg,
  pg: overPg,
  knex: overKnex,
  mikro: overMikro,
  prisma: overPrisma,
}

const Note = defineEntity({
  name: 'Note',
  tableName: 'notes',
  properties: { id: p.bigint().primary(), body: p.text() },
})

/** One read of each. */
function ofProcess({ tenants }: FastifyInstance): Record<string, () => PromiseLike<unknown>> {
  const db = new Kysely<unknown>({ dialect: new TenantDialect({ tenants }) })
  const pool = new Pool({ tenants })
  const query = knex({ client: 'pg', connectionPool: new Pool({ tenants }) })
  const source = new DataSource({
    type: 'postgres',
    driver: driverOf({ tenants }),
    entities: [],
    installExtensions: false,
  })
  const orm = new MikroORM({
    entities: [Note],
    dbName: 'the tenant’s',
    ensureDatabase: false,
    driverOptions: new TenantDialect({ tenants }),
  })
  const prisma = createPrisma({ tenants }, adapter => new PrismaClient({ adapter }))
  return {
    kysely: () => text`select from notes`.execute(db),
    pg: () => pool.query('select from notes'),
    knex: () => query('notes').count(),
    typeorm: async () => {
      if (!source.isInitialized) await source.initialize()
      return source.query('select from notes')
    },
    mikro: () => orm.em.fork().count(Note),
    prisma: () => prisma.note.count(),
  }
}

const stand = await rig(t, ['notes'])
let reads!: ReturnType<typeof ofProcess>
/** Of a call that was made after the response to its request. */
const late = new Map<string, Promise<unknown>>()

const app = await stand.app('notes', { maxConnections: 5 }, app => {
  reads = ofProcess(app)
  void app.register(audit)
  void app.register(async app => {
    const responded = new WeakMap<object, () => void>()
    app.addHook('onResponse', async request => responded.get(request.raw)?.())
    app.get('/late/:name', { config: { tenant: 'required' } }, async request => {
      const { name } = request.params as { name: string }
      await reads[name]?.()
      const over = new Promise<void>(resolve => responded.set(request.raw, resolve))
      late.set(
        name,
        over
          .then(() => reads[name]?.())
          .then(
            () => 'no error',
            error => error.code,
          ),
      )
      return {}
    })
    app.get('/twice/:name', { config: { tenant: 'required' } }, async request => {
      const orm = over[(request.params as { name: string }).name]?.(request.sql)
      await orm?.run('select 1 as one')
      return orm?.transaction(inner => inner.run('select body from notes'))
    })
  })
})
await app.tenants.create({ id: 'acme', name: 'Acme' })
const ask = async (url: string) =>
  (await app.inject({ url, headers: { 'hrms-client-id': 'acme' } })) as { statusCode: number; body: string }

for (const name of Object.keys(reads)) {
  t.test(`${name}, made once: refused outside of a tenant’s work and after the response`, async t => {
    const read = () => Promise.resolve(reads[name]?.())
    t.equal((await ask(`/late/${name}`)).statusCode, 200)
    t.equal(await late.get(name), 'TENANT_CLIENT_RELEASED')
    await t.rejects(read(), { code: 'TENANT_CONTEXT_MISSING' })
    await app.tenants.run('acme', read)
    t.match(app.tenants.connectionInfo(), { inUse: 0, waiting: 0 })
  })
}

t.test('the audit log has a row of each request, with its connections', async t => {
  const central = stand.look('notes', 'notes_central')
  const rows = async () => {
    await until('written', () => app.audit.status().waiting === 0)
    return [
      ...(await central<{ tenant: string; leases: number }[]>`
        select tenant_id as tenant, (detail->>'leases')::int as leases from audit_log
        where kind = 'access' and request_id is not null order by seq`),
    ]
  }
  const { length } = await rows()
  const names = Object.keys(over)
  for (const name of names) {
    const { statusCode, body } = await ask(`/twice/${name}`)
    t.equal(statusCode, 200, `${name}: ${body}`)
  }
  t.same(
    (await rows()).slice(length),
    names.map(() => ({ tenant: 'acme', leases: 2 })),
  )
})
