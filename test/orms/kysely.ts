// Kysely over the client of a tenant does as over `pg`, and keeps the promises of the client. For each version of Kysely.
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import Cursor from 'pg-cursor'
import type { Test } from 'tap'
import { overKysely } from '../../bench/orms/kysely.js'
import { TenantDialect } from '../../orms/kysely/index.js'
import { refuseOtherVersions } from '../../orms/kysely/library.js'
import { stand } from '../postgres/stand.js'
import { TABLES } from './drizzle-schema.js'
import { type Database, scenario } from './kysely-scenario.js'
import { keepsPromises } from './promises.js'

const TEXTS = 1009
const NUMERICS = 1231
const FIRST_OF_DATABASE = 16_384

/** `pg` reads a list of numerics with a loss, and one of a type that the database has made as text. */
const types = {
  getTypeParser(oid: number, format?: never) {
    const texts = pg.types.getTypeParser(TEXTS as never) as (text: string) => unknown
    if (oid === NUMERICS) return texts
    if (oid < FIRST_OF_DATABASE) return pg.types.getTypeParser(oid, format)
    return (text: string) => (text.startsWith('{') ? texts(text) : text)
  },
} as pg.CustomTypesConfig

export async function testKysely(t: Test): Promise<void> {
  await t.test('does as over pg', async t => {
    const { pool, server } = await stand(t)
    const { client } = pool()
    await client().sql.unsafe(TABLES)
    const { host, port, user, password } = server
    for (const zone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Kiritimati']) {
      await t.test(`in ${zone}`, async t => {
        const before = process.env.TZ
        process.env.TZ = zone
        t.teardown(() => {
          process.env.TZ = before
        })
        const own = new Kysely<Database>({
          dialect: new PostgresDialect({
            pool: new pg.Pool({ host, port, user, password, database: 'postgres', max: 2, types }),
            cursor: Cursor,
          }),
        })
        t.teardown(() => own.destroy())
        const expected = await scenario(own)
        const scope = client()
        const found = await scenario(new Kysely<Database>({ dialect: new TenantDialect({ sql: scope.sql }) }))
        scope.release()
        t.same(found, expected)
      })
    }
  })

  await t.test('lists for JSON are JSON, as `pg` cannot', async t => {
    const { pool } = await stand(t)
    const db = new Kysely<unknown>({ dialect: new TenantDialect({ sql: pool().client().sql }) })
    const values = { list: [1, 'two', { three: [] }, null], none: [], both: [['a'], ['b']], bytes: [Buffer.from('hi')] }
    const { rows } = await sql`select ${values.list}::jsonb as list, ${values.none}::json as none,
      ${values.both}::text[] as both, ${values.bytes}::bytea[] as bytes`.execute(db)
    t.same(rows, [values])
  })

  await t.test('moments beyond those of JavaScript are not lost', async t => {
    const { pool } = await stand(t)
    const db = new Kysely<unknown>({ dialect: new TenantDialect({ sql: pool().client().sql }) })
    const { rows } = await sql`select 'infinity'::timestamptz as never, '-infinity'::date as ever,
      '0044-03-15 BC'::date as ides, '12024-01-01'::timestamp as far`.execute(db)
    t.same(rows, [{ never: Infinity, ever: -Infinity, ides: '0044-03-15 BC', far: '12024-01-01 00:00:00' }])
  })

  await t.test('other versions are refused by the range that is supported', t => {
    for (const version of ['0.27.6', '0.30.0', '1.0.0']) {
      t.throws(() => refuseOtherVersions(version), { code: 'CONFIGURATION_INVALID', message: />=0\.28\.0 <0\.30\.0/ })
    }
    t.doesNotThrow(() => refuseOtherVersions('0.29.9'))
    t.throws(() => new TenantDialect({} as never), { code: 'CONFIGURATION_INVALID' })
    t.end()
  })

  await t.test('keeps the promises of the client', t =>
    keepsPromises(t, overKysely, { isOver: { message: 'Transaction is already committed' } }),
  )
}
