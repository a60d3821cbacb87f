// Rows 31, 38 and 39 of the attack table: SQL that a handler was made to run, through the client it gets.
// (Statements that the tenant's role may never run, rows 32 to 37, are in databases/roles.test.ts.)
import t from 'tap'
import { codeOf } from '../postgres/stand.js'
import { rig } from '../rig.js'
import { until } from '../until.js'

const TIMEOUT_MS = 1_000

t.test('SQL of one tenant', async t => {
  const { app: build, look } = await rig(t, ['employee'])
  const app = await build('employee', { queryTimeout: TIMEOUT_MS, maxConnectionsPerTenant: 2 })
  for (const id of ['acme', 'globex']) await app.tenants.create({ id, name: id })
  const run = (id: string, statement: string) => codeOf(app.tenants.run(id, ({ sql }) => sql.unsafe(statement)))

  await t.test('row 31: has no statement that changes its database', async t => {
    for (const [statement, code] of [
      ['\\c tenant_globex_employee', '42601'],
      ['\\connect tenant_globex_employee', '42601'],
      ['use tenant_globex_employee', '42601'],
      ['select * from tenant_globex_employee.public.notes', '0A000'],
      ['set session characteristics as database tenant_globex_employee', '42601'],
      [`select set_config('database', 'tenant_globex_employee', false)`, '42704'],
      ['alter session set database = tenant_globex_employee', '42601'],
    ] as const) {
      t.equal(await run('acme', statement), code, statement)
    }
    const [row] = await app.tenants.run('acme', ({ sql }) => sql`select current_database() as name`)
    t.equal(row?.name, 'tenant_acme_employee')
  })

  await t.test(
    'row 38: that uses the server’s time is cut at its deadline, and others are served meanwhile',
    async t => {
      for (const statement of [
        'select count(*) from generate_series(1, 10000000000)',
        'select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c',
        'select pg_sleep(3600)',
        // Without the server's own time-out, which its role may switch off.
        'set statement_timeout = 0; select pg_sleep(3600)',
        `select repeat('(a?)', 20) || repeat('a', 20) ~ (repeat('(a?)', 20) || repeat('a', 20)) from generate_series(1, 10000000000)`,
        'with recursive r (n) as (select 1 union all select n + 1 from r) select max(n) from r',
        'do $$ begin loop end loop; end $$',
      ]) {
        const began = performance.now()
        const cut = run('acme', statement)
        t.equal(await run('globex', 'select 1'), 'no error')
        t.equal(await cut, 'TENANT_QUERY_TIMEOUT', statement)
        const took = performance.now() - began
        t.ok(took >= TIMEOUT_MS, `${statement}: ${Math.round(took)} ms`)
      }
      await until('none of it is still running', async () => {
        const running = await look('employee')`
        select 1 from pg_stat_activity where datname = 'tenant_acme_employee' and state = 'active'`
        return running.length === 0
      })
      t.equal(await run('acme', 'select 1'), 'no error')
    },
  )

  await t.test('row 39: that escapes into statements of its own leaves no state to the next user', async t => {
    for (const statement of [
      "select 1; begin; insert into notes (body) values ('half')",
      `commit; set search_path = pg_catalog; begin`,
      'rollback; set session statement_timeout = 0',
      `select 1; set work_mem = '1GB'`,
      `create temp table notes (secret text); insert into notes values ('of the one before')`,
      'select pg_advisory_lock(1)',
      'listen fdt_tenants',
      'prepare next as select 1',
      `declare c cursor with hold for select 'of the one before'`,
    ]) {
      await run('acme', statement)
      const [row] = await app.tenants.run(
        'acme',
        ({ sql }) => sql`
        select current_setting('search_path') as path, current_setting('work_mem') as mem,
          (select count(*)::int from notes) as notes, (select count(*)::int from pg_cursors where is_holdable) as cursors,
          (select count(*)::int from pg_locks where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())) as locks,
          (select count(*)::int from pg_listening_channels()) as channels,
          (select count(*)::int from pg_prepared_statements where name = 'next') as prepared`,
      )
      t.same(
        { ...row },
        { path: '"$user", public', mem: '4MB', notes: 0, cursors: 0, locks: 0, channels: 0, prepared: 0 },
        statement,
      )
    }
  })
})
