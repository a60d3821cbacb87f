// The promises of a tenant's client, kept through an ORM: scope, budget, clean sessions, coded errors.
import type { Test } from 'tap'
import { causeOf, type OrmOver, type Runner } from '../../bench/orms/orm.js'
import { codeOf as codeOfDriver, gate, stand } from '../postgres/stand.js'
import { until } from '../until.js'

const codeOf = (promise: Promise<unknown>) =>
  codeOfDriver(
    promise.catch(error => {
      throw causeOf(error)
    }),
  )

/** The state of a session that was never used before. */
const UNTOUCHED = `select current_setting('role') as role, current_setting('search_path') as path,
  (select count(*)::int from pg_listening_channels()) as channels, to_regclass('pg_temp.mine')::text as temporary,
  current_setting('my.mark', true) as mark`
const untouched = { role: 'none', path: '"$user", public', channels: 0, temporary: null }

const first = async (rows: Promise<readonly unknown[]>) => (await rows)[0] as Record<string, unknown>

/** Where an ORM is other than `request.sql`: codes, or errors without one. */
export interface Otherwise {
  /** A statement in a transaction that is over. */
  readonly isOver?: unknown
  /** Two statements in a text with parameters. */
  readonly several?: unknown
  /** BEGIN outside of a transaction, which is refused to `request.sql`. */
  readonly begins?: unknown
  /** COMMIT in a transaction, which is refused to `request.sql`. */
  readonly ends?: unknown
}

/** @param over the ORM over one client */
export async function keepsPromises(t: Test, over: OrmOver, otherwise: Otherwise = {}): Promise<void> {
  const refused = 'TENANT_STATEMENT_REFUSED'
  const { isOver = 'TENANT_CLIENT_RELEASED', several = '42601', begins = refused, ends = refused } = otherwise
  const { pool, look, databases } = await stand(t)
  await look`create table kept (id int primary key)`

  await t.test('nothing works after the end of the request', async t => {
    const { client, pool: leases } = pool({ budget: 1, perKey: 1 })
    const scope = client()
    const orm = over(scope.sql)
    await orm.run('select 1')
    scope.release()
    t.equal(await codeOf(orm.run('select 1')), 'TENANT_CLIENT_RELEASED')
    t.equal(await codeOf(orm.transaction(async tx => tx.run('select 1'))), 'TENANT_CLIENT_RELEASED')
    await until(() => leases.info().inUse === 0)
  })

  await t.test('the end of a request ends its transaction', async t => {
    const { client, pool: leases } = pool({ budget: 1, perKey: 1 })
    const scope = client()
    const orm = over(scope.sql)
    const begun = gate()
    const mayGoOn = gate()
    const transaction = codeOf(
      orm.transaction(async tx => {
        await tx.run('insert into kept values (1)')
        begun.open()
        await mayGoOn.passed
        t.equal(await codeOf(tx.run('select 1')), 'TENANT_CLIENT_RELEASED')
      }),
    )
    await begun.passed
    scope.release()
    mayGoOn.open()
    t.equal(await transaction, 'TENANT_CLIENT_RELEASED')
    await until(() => leases.info().inUse === 0)
    t.same([...(await look`select id from kept`)], [])
  })

  await t.test('a transaction that is over takes no statement, from its own request or from another', async t => {
    const { client } = pool({ budget: 2, perKey: 2 })
    const orm = over(client().sql)
    let kept: Runner | undefined
    await orm.transaction(async tx => {
      kept = tx
      await tx.run('select 1')
    })
    t.match(await codeOf((kept as Runner).run('select 1')), isOver)
    await over(client().sql).transaction(async tx => {
      await tx.run('select 1')
      t.match(await codeOf((kept as Runner).run('select 1')), isOver)
    })
  })

  await t.test('the budget holds: a statement that gets no turn is refused', async t => {
    const { client } = pool({ budget: 1, perKey: 1, acquireTimeout: 1_000 })
    const holds = over(client().sql)
    const waits = over(client().sql)
    await holds.transaction(async tx => {
      await tx.run('select 1')
      t.equal(await codeOf(waits.run('select 1')), 'TENANT_BUSY')
      t.equal(await codeOf(waits.transaction(async inner => inner.run('select 1'))), 'TENANT_BUSY')
    })
    t.same(await first(waits.run('select 1 as one')), { one: 1 })
  })

  await t.test('turns are fair between tenants', async t => {
    const [busy = '', other = ''] = await databases(2)
    const { client } = pool({ budget: 1, perKey: 1 })
    const holds = client(busy)
    const begun = gate()
    const mayGoOn = gate()
    const holding = over(holds.sql).transaction(async tx => {
      await tx.run('select 1')
      begun.open()
      await mayGoOn.passed
    })
    await begun.passed
    const order: string[] = []
    const ask = async (database: string) => {
      await over(client(database).sql).run('select 1')
      order.push(database)
    }
    const asked = [busy, busy, busy, busy, other].map(ask)
    mayGoOn.open()
    await Promise.all([holding, ...asked])
    t.ok(order.indexOf(other) <= 1, order.join())
  })

  await t.test('session state of one request never reaches another', async t => {
    const { client } = pool({ budget: 1, perKey: 1 })
    await look`create role another_role`
    for (const statement of [
      'set role another_role',
      'listen everything',
      'create temporary table mine (id int)',
      'set search_path to pg_catalog',
      `select set_config('my.mark', 'left', false)`,
    ]) {
      const scope = client()
      await over(scope.sql).run(statement)
      scope.release()
      t.match(await first(over(client().sql).run(UNTOUCHED)), untouched, statement)
      await over(client().sql).transaction(async tx => tx.run(statement))
      const found = await first(over(client().sql).run(UNTOUCHED))
      t.match(found, untouched, `${statement}, in a transaction`)
      t.notOk(found.mark, statement)
    }
  })

  await t.test('a feature that a leased connection lacks is refused by its code', async t => {
    const { client } = pool({ budget: 1, perKey: 1 })
    const orm = over(client().sql)
    for (const [statement, code] of [
      ['copy kept to stdout', 'TENANT_CLIENT_METHOD'],
      ['copy kept from stdin', 'TENANT_CLIENT_METHOD'],
      ['begin', begins],
      ['set local search_path to x', begins],
      ['select lo_create(0)', 'TENANT_STATEMENT_REFUSED'],
    ] as const) {
      t.equal(await codeOf(orm.run(statement)), code, statement)
      t.match(await first(over(client().sql).run(UNTOUCHED)), untouched, statement)
    }
    for (const [statement, code] of [
      ['commit', ends],
      ['rollback', ends],
      [`prepare transaction 'x'`, refused],
      [`commit prepared 'x'`, refused],
    ] as const) {
      t.match(await codeOf(orm.transaction(async tx => tx.run(statement))), code, statement)
      t.match(await first(over(client().sql).run(UNTOUCHED)), untouched, statement)
    }
    t.same(await first(orm.run('select 1 as one')), { one: 1 })
  })

  await t.test('a second statement in one text does not end the transaction it is in', async t => {
    const { client } = pool({ budget: 1, perKey: 1 })
    const orm = over(client().sql)
    t.equal(await codeOf(orm.run('select $1::int; select 2', [1])), several, 'with parameters')
    await codeOf(
      orm.transaction(async tx => {
        await tx.run('insert into kept values (7)')
        await tx.run('insert into kept values (8); commit; insert into kept values (9)')
      }),
    )
    t.same([...(await look`select id from kept`)], ends === refused ? [] : [{ id: 7 }, { id: 8 }, { id: 9 }])
    await look`truncate kept`
    t.same(await first(orm.run('select 1 as one')), { one: 1 })
    t.match(await first(over(client().sql).run(UNTOUCHED)), untouched)
  })

  await t.test('a connection that is killed fails its queries with one code, and the next is served', async t => {
    const { client } = pool({ budget: 1, perKey: 1 })
    const orm = over(client().sql)
    const pid = async () => (await first(orm.run('select pg_backend_pid() as pid'))).pid as number
    const before = await pid()
    const query = codeOf(orm.run('select pg_sleep(30)'))
    await until(async () => {
      const [row] = await look`select pg_terminate_backend(pid) from pg_stat_activity
        where pid = ${before} and query like '%pg_sleep%'`
      return row !== undefined
    })
    t.equal(await query, 'TENANT_DATABASE_UNAVAILABLE')
    const transaction = codeOf(
      orm.transaction(async tx => {
        const { pid } = await first(tx.run('select pg_backend_pid() as pid'))
        await look`select pg_terminate_backend(${pid as number})`
        await tx.run('select 1')
      }),
    )
    t.equal(await transaction, 'TENANT_DATABASE_UNAVAILABLE')
    t.not(await pid(), before)
  })

  await t.test('a statement past its deadline is ended', async t => {
    const { client } = pool({ budget: 1, perKey: 1, queryTimeout: 200 })
    const orm = over(client().sql)
    t.equal(await codeOf(orm.run('select pg_sleep(30)')), 'TENANT_QUERY_TIMEOUT')
    t.same(await first(orm.run('select 1 as one')), { one: 1 })
  })
}
