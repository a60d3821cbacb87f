// Tenants served through a real PgBouncer in transaction mode, all else direct.
// In a process of its own: a statement has 5 seconds.
import t from 'tap'
import { startPooler } from '../../../../bench/pooler.js'
import {
  createCredentials,
  parseRoleKeys,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { type SqlClient, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { codeOf, nothingUncaught } from '../../../postgres/stand.js'
import { rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

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
  const notes: string[] = []
  t.teardown(subscribe(({ area, event }) => area === 'start' && event.type === 'note' && notes.push(event.message)))
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

  /** The statements that its sessions keep for a tenant, this one's own among them where it has a name. */
  const kept = async (of: typeof app, id: string) => {
    const found = new Set<string>()
    for (let n = 0; n < 20; n++)
      await of.tenants.run(id, async ({ sql }) => {
        for (const { statement } of await sql`select statement from pg_prepared_statements`) found.add(statement)
      })
    return [...found]
  }

  await t.test(
    'statements have names where it keeps them, which it is asked, and the question leaves nothing',
    async t => {
      for (let n = 0; n < 20; n++) await on('acme', sql => sql`select ${n}::int as named_here`)
      const statements = await kept(app, 'acme')
      t.equal(
        statements.some(text => text.includes('named_here')),
        bouncer.prepares,
        `${bouncer.version}: ${statements.join('; ')}`,
      )
      if (!bouncer.prepares) t.same(statements, [])
      const answer = bouncer.prepares ? /keeps prepared statements/ : /keeps no prepared statements.*from 1\.21 on/
      t.equal(notes.filter(text => answer.test(text)).length, 1, `named once: ${notes.join('; ')}`)
    },
  )

  const skip = !bouncer.prepares && 'this PgBouncer does not know max_prepared_statements'
  await t.test('none has a name where max_prepared_statements is 0', { skip }, async t => {
    const without = await pooler(['max_prepared_statements = 0'])
    t.teardown(() => without.stop())
    const through = await build('employee', { tenantDatabase: { host, port: without.login.port } })
    for (let n = 0; n < 20; n++) await through.tenants.run('acme', ({ sql }) => sql`select ${n}::int as no_name`)
    t.same(await kept(through, 'acme'), [])
  })

  await t.test('after a change of the schema each statement is answered, by its new form', async t => {
    const all = () => on('acme', sql => sql`select * from changing where id > ${0}::int`)
    const owner = look('employee', 'tenant_acme_employee')
    await owner.unsafe('create table changing (id int primary key); insert into changing values (1)')
    await owner.unsafe('grant select, update on changing to public')
    // Together, so that several of its sessions know the statement.
    for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 8 }, all))
    await owner.unsafe('alter table changing add column added text default $$new$$')
    for (let round = 0; round < 5; round++) {
      for (const rows of await Promise.all(Array.from({ length: 8 }, all))) t.same([...rows], [{ id: 1, added: 'new' }])
    }
    await owner.unsafe('alter table changing drop column added')
    // In a transaction the first may be refused, as without a pooler; what comes after it is answered.
    const inTransaction = () => on('acme', sql => sql.begin(tx => tx`select * from changing where id > ${0}::int`))
    await codeOf(inTransaction())
    for (let n = 0; n < 10; n++) t.same([...(await inTransaction())], [{ id: 1 }])
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
