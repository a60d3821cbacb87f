// Tenants served through a real PgBouncer in transaction mode, all else direct.
// In a process of its own: a statement has 5 seconds.
import t from 'tap'
import { startPooler } from '../../../../bench/pooler.js'
import {
  createCredentials,
  parseRoleKeys,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import type { SqlClient } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'
import { codeOf, nothingUncaught } from '../stand.js'

const tenants = ['acme', 'globex', 'initech', 'umbrella', 'unvisited']
const visited = tenants.slice(0, -1)

t.test('through PgBouncer', async t => {
  nothingUncaught(t)
  const { app: build, database, servers, look } = await rig(t, ['employee'])
  const direct = await build('employee')
  const admin = look('employee')
  for (const id of tenants) await direct.tenants.create({ id, name: id })
  const credentials = createCredentials(parseServiceName('employee'), parseRoleKeys(roleSecret))
  const { host, port, user } = database('employee')
  const pooler = async (more: readonly string[] = []) => {
    const lines = tenants.map(id => credentials.userListLine(parseTenantId(id)))
    const started = await startPooler({ host, port, user, password: '' }, servers.dir, 5, lines, more)
    if (!started) throw new Error('no pgbouncer on this machine: `npm run setup` installs it')
    return started
  }
  const bouncer = await pooler(['server_login_retry = 1'])
  t.teardown(() => bouncer.stop())
  const app = await build('employee', {
    tenantDatabase: { host, port: bouncer.login.port },
    maxConnections: 3,
    maxConnectionsPerTenant: 2,
    queryTimeout: 5_000,
    // Two hundred wait for three connections, on a slow machine for long.
    acquireTimeout: 60_000,
  })
  const on = <T>(id: string, work: (sql: SqlClient) => Promise<T>) => app.tenants.run(id, ({ sql }) => work(sql))

  await t.test('every tenant gets its own database, many at once, by statements and transactions', async t => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const id = visited[at % visited.length] as string
        const rows =
          at % 3
            ? await on(id, sql => sql`select current_database() as here, ${at}::int as n`)
            : await on(id, sql =>
                sql.begin(async sql => {
                  await sql`insert into notes (body) values (${`${id} ${at}`})`
                  return sql`select current_database() as here, ${at}::int as n from notes limit 1`
                }),
              )
        return [rows[0]?.here === `tenant_${id}_employee`, rows[0]?.n === at]
      }),
    )
    t.ok(answers.flat().every(Boolean))
    const { open, budget } = app.tenants.connectionInfo()
    t.ok(open <= budget, `${open} of ${budget}`)
    for (const id of visited) {
      const [row] = await on(
        id,
        sql =>
          sql`select count(*)::int as n, count(*) filter (where body not like ${`${id} %`})::int as foreign from notes`,
      )
      t.match(row, { foreign: 0 })
    }
  })

  await t.test('arrays and cursors are the same as without', async t => {
    const [row] = await on('acme', sql => sql`select ${['a', 'b']}::text[] as words, '{calm}'::mood[] as moods`)
    t.same(row, { words: ['a', 'b'], moods: ['calm'] })
    // Often, as the pooler may lose count only when two statements reach it together.
    for (let round = 0; round < 30; round++) {
      let sum = 0
      await on('acme', async sql => {
        for await (const rows of sql`select n from generate_series(1, 25) n`.cursor(10))
          for (const { n } of rows) sum += n
      })
      t.equal(sum, 325)
    }
  })

  await t.test('errors are the same as without, and what follows them is answered', async t => {
    for (let round = 0; round < 30; round++) {
      await on('acme', async sql => {
        t.equal(await codeOf(sql`select 1 / ${0}::int`), '22012')
        t.same([...(await sql`select ${round}::int as n`)], [{ n: round }])
      })
    }
    t.equal(await codeOf(on('acme', sql => sql`select 1 / 0`)), '22012')
    t.equal(await codeOf(on('acme', sql => sql.begin(sql => sql`insert into missing values (1)`))), '42P01')
  })

  await t.test('a slow statement ends at its deadline, on the server as well', async t => {
    t.equal(await codeOf(on('acme', sql => sql`select pg_sleep(30)`)), 'TENANT_QUERY_TIMEOUT')
    await until(
      async () =>
        (
          await admin`select 1 from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active' and pid <> pg_backend_pid()`
        ).length === 0,
    )
    t.equal(await codeOf(on('acme', sql => sql`select 1`)), 'no error')
  })

  await t.test('a transaction that is cut leaves nothing written', async t => {
    const cut = on('globex', sql =>
      sql.begin(async sql => {
        await sql`insert into notes (body) values ('cut')`
        await admin`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'tenant_globex_employee'`
        await sql`select 1`
      }),
    )
    t.equal(await codeOf(cut), 'TENANT_DATABASE_UNAVAILABLE')
    await until(async () => (await codeOf(on('globex', sql => sql`select 1`))) === 'no error')
    t.same([...(await on('globex', sql => sql`select body from notes where body not like 'globex %'`))], [])
  })

  await t.test('settings of a transaction end with it, and none ever reaches another tenant', async t => {
    await on('initech', sql =>
      sql.begin(async sql => {
        await sql`set local mine.title = 'ann'`
        t.equal((await sql`select current_setting('mine.title') as who`)[0]?.who, 'ann')
      }),
    )
    const who = (id: string) => on(id, sql => sql`select coalesce(current_setting('mine.title', true), '') as who`)
    t.same([...(await who('initech'))], [{ who: '' }])
    await on('initech', sql => sql.unsafe("set mine.title = 'ben'"))
    for (let turn = 0; turn < 20; turn++) t.same([...(await who('umbrella'))], [{ who: '' }])
  })

  await t.test('a session’s own settings are reset where PgBouncer is configured to', async t => {
    const strict = await pooler(['server_reset_query_always = 1'])
    t.teardown(() => strict.stop())
    const through = await build('employee', { tenantDatabase: { host, port: strict.login.port } })
    const run = <T>(work: (sql: SqlClient) => Promise<T>) => through.tenants.run('initech', ({ sql }) => work(sql))
    for (let turn = 0; turn < 10; turn++) {
      await run(sql => sql.unsafe("set mine.title = 'ann'; create temp table mine (a int); select pg_advisory_lock(7)"))
      const [row] = await run(
        sql =>
          sql`select coalesce(current_setting('mine.title', true), '') as who, to_regclass('pg_temp.mine') as mine`,
      )
      t.same(row, { who: '', mine: null })
    }
    // PgBouncer resets a session after it has answered.
    await until(async () => {
      const locks = await admin`select 1 from pg_locks where locktype = 'advisory' and objid = 7`
      return locks.length === 0
    })
  })

  await t.test('a missing database is unavailable, and is used once it exists', async t => {
    await admin.unsafe('alter database tenant_unvisited_employee rename to elsewhere')
    t.equal(await codeOf(on('unvisited', sql => sql`select 1`)), 'TENANT_DATABASE_UNAVAILABLE')
    await admin.unsafe('alter database elsewhere rename to tenant_unvisited_employee')
    // PgBouncer itself tries again after its `server_login_retry`.
    await until(async () => (await codeOf(on('unvisited', sql => sql`select 1`))) === 'no error')
  })

  await t.test('only tenants’ connections use it: without it they are refused, and all else works', async t => {
    await bouncer.stop()
    t.equal(await codeOf(on('acme', sql => sql`select 1`)), 'TENANT_DATABASE_UNAVAILABLE')
    t.match(await app.tenants.health(), { central: { status: 'up' } })
    await app.tenants.create({ id: 'latecomer', name: 'Latecomer' })
    t.match(await app.tenants.find('latecomer'), { provisioned: 'ready' })
    t.same(
      [...(await direct.tenants.run('latecomer', ({ sql }) => sql`select current_database() as here`))],
      [{ here: 'tenant_latecomer_employee' }],
    )
    let seen = ''
    const stop = app.notifications.subscribe('pooler_test', payload => {
      seen = payload
    })
    await until(async () => {
      await app.central`select pg_notify('pooler_test', 'direct')`
      return seen === 'direct'
    })
    stop()
  })
})
