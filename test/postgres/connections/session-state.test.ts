// The predicted session state of a statement, compared with its effect in a real session.
import postgres from 'postgres'
import t from 'tap'
import { createBuilder, type Driver, type DriverQuery } from '../../../postgres/connections/driver.js'
import { CHECKED_BY_HAND, harmlessFunctions } from '../../../postgres/connections/harmless-functions.js'
import { type SessionState, sessionStateOf } from '../../../postgres/connections/session-state.js'
import { RESET } from '../../../postgres/pool/session-reset.js'
import { stand } from '../stand.js'

type Make = (sql: Driver) => unknown

const clean: Record<string, Make> = {
  'a select': sql => sql`select 1`,
  'a select with a parameter': sql => sql`select ${1}::int`,
  'a select in upper case with white space before': sql => sql`
    SELECT * FROM things`,
  'an insert': sql => sql`insert into things (title) values (${'a'})`,
  'an insert by helper': sql => sql`insert into things ${sql([{ title: 'b' }, { title: 'c' }])}`,
  'an insert from a select': sql => sql`insert  into things (title) select 'd'`,
  'an update by helper': sql => sql`update things set ${sql({ title: 'e' })} where title = 'd'`,
  'a delete': sql => sql`delete from things where title = 'none' returning *`,
  'a merge': sql => sql`merge into things t using (values ('f')) v (title) on t.title = v.title
    when not matched then insert (title) values (v.title)`,
  values: sql => sql`values (1), (2)`,
  'a query with a part that writes': sql =>
    sql`with w as (insert into things (title) values ('g') returning title) select * from w`,
  'a recursive query': sql =>
    sql`with recursive r (n) as (values (1) union all select n + 1 from r where n < 3) select * from r`,
  'a select for update': sql => sql`select * from things for update skip locked`,
  'a fragment': sql => sql`select * from things ${sql`where title = ${'a'}`}`,
  'an identifier': sql => sql`select ${sql('title')} from ${sql('things')}`,
  'a column named like a command': sql =>
    sql`select load, prepare, discard from (values (1, 2, 3)) v (load, prepare, discard)`,
  'a command in a value': sql => sql`select ${'set_config; prepare'}::text`,
  'a json value': sql => sql`select ${sql.json({ value: 'set_config' })}::jsonb`,
  'a function that changes nothing': sql => sql`select pg_backend_pid(), current_setting('search_path'), now()`,
  'unsafe text with parameters': sql => sql.unsafe('select $1::int', [1]),
  'a function named as in the catalogue': sql => sql`select pg_catalog.lower('A'), "upper"('a')`,
  'words of the grammar before a parenthesis': sql => sql`
    select case when (true) then coalesce(null, 1) end, count(*) filter (where (title) is not null) over (),
      extract(year from now()), cast(1 as numeric(10,2)), array(select 1)
    from things where title in ('a') and exists (select 1) group by (title)`,
  'names of columns behind an alias': sql => sql`
    with r (n) as (values (1)) select * from r, (values (2)) v (m), jsonb_to_recordset('[{"a":1}]') as x (a int)`,
  'a value with a regular expression': sql => sql`select 'a1' ~ '\\d'`,
  'a read of a catalogue': sql => sql`select setting from pg_settings where name = 'work_mem'`,
  'a write that asks the catalogue': sql => sql`update things set title = pg_backend_pid()::text where false`,
  'a statement that ends with a semicolon': sql => sql`select 1;`,
  'a comment before': sql => sql`/* a /* b */ c */ -- d
    select 1`,
}

const reset: Record<string, Make> = {
  'unsafe text': sql => sql.unsafe('select 1'),
  'a simple query': sql => sql`select 1`.simple(),
  'several statements': sql => sql.unsafe('select 1; set work_mem = 4096'),
  'an open transaction': sql => sql.unsafe('begin; select 1'),
  'a transaction that has failed': sql => sql.unsafe('begin; select 1 / 0'),
  set: sql => sql.unsafe('SET work_mem = 5000'),
  'set in a tag': sql => sql`set work_mem = 5001`,
  set_config: sql => sql`select set_config('work_mem', '5002', false)`,
  'set_config in a fragment': sql => sql`select ${sql`set_config('work_mem', '5003', false)`}`,
  'set_config in a list of fragments': sql => sql`select 1 ${[sql`, set_config('work_mem', '5004', false)`]}`,
  'set_config as an identifier': sql => sql`select ${sql('set_config')}('work_mem', '5005', false)`,
  'set_config in a helper': sql =>
    sql`insert into things ${sql({ title: sql`set_config('work_mem', '5006', false)` as unknown as string })}`,
  'set_config in a name of escapes': sql => sql`select U&"set\\005fconfig"('work_mem', '5007', false)`,
  'set_config in a writing part': sql => sql`with w as (select set_config('work_mem', '5008', false)) select * from w`,
  'set_config behind a comment': sql => sql`select /* a */ set_config('work_mem', -- b
    '5009', false)`,
  'set_config in values': sql => sql`values (set_config('work_mem', '5010', false))`,
  'set_config in a returning': sql =>
    sql`insert into things (title) values ('h') returning set_config('work_mem', '5011', false)`,
  'set_config in a text that is run': sql =>
    sql`select query_to_xml(${"select set_config('work_mem', '5012', false)"}, true, false, '')`,
  'a write to the settings': sql => sql`update pg_settings set setting = '5016' where name = 'work_mem'`,
  'a write to the settings, all in one': sql =>
    sql`with w as (update pg_catalog . "pg_settings" set setting = '5017' where name = 'work_mem') select 1`,
  'a write to the settings by identifier': sql =>
    sql`update ${sql('pg_settings')} set ${sql({ setting: '5018' })} where name = 'work_mem'`,
  'a write to the settings by merge': sql => sql`update pg_catalog.pg_settings set setting = '5019'
    where name = any(${['work_mem']})`,
  'set_config behind distinct on': sql => sql`select distinct on (a) set_config(b, c, d)
    from (values (1, 'work_mem', '5020', false)) v (a, b, c, d)`,
  'set_config behind an operator': sql => sql`select 'x' operator(pg_catalog.||) set_config('work_mem', '5021', false)`,
  'set_config in the catalogue’s name': sql => sql`select pg_catalog.set_config('work_mem', '5022', false)`,
  'set_config behind a number': sql => sql`select 1as a,set_config('work_mem', '5023', false)`,
  'set_config behind a string with a backslash': sql => sql`select '\\', set_config('work_mem', '5024', false) --'`,
  'a function of the user’s own': sql => sql`select sets_it()`,
  'a function of a schema': sql => sql`select public.sets_it()`,
  'a seed': sql => sql`select setseed(0.5)`,
  'a seed by name': sql => sql`set seed = 0.5`,
  'a seed in the settings': sql => sql`update pg_settings set setting = '0.5' where name = 'seed'`,
  search_path: sql => sql.unsafe('set search_path to pg_catalog'),
  'set role': sql => sql.unsafe('set role other'),
  'set session authorization': sql => sql.unsafe('set session authorization other'),
  'a temporary table': sql => sql.unsafe('create temp table t1 (a int)'),
  'select into a temporary table': sql => sql`select 1 as a into temp t2`,
  'select into, with a comment between': sql => sql`select 1 as a into/**/temp t3`,
  'select into pg_temp': sql => sql`select 1 as a into pg_temp.t4`,
  'select into an identifier': sql => sql`select 1 as a into ${sql('pg_temp.t5')}`,
  'an advisory lock': sql => sql`select pg_advisory_lock(1)`,
  'a tried advisory lock': sql => sql`select * from things where pg_try_advisory_lock_shared(2)`,
  listen: sql => sql.unsafe('listen news'),
  'a cursor that outlives its transaction': sql => sql.unsafe('begin; declare c cursor with hold for select 1; commit'),
  do: sql => sql.unsafe(`do $$ begin perform set_config('work_mem', '5013', false); end $$`),
  'a call': sql => sql.unsafe('call set_it()'),
  'explain analyze': sql => sql`explain analyze select set_config('work_mem', '5014', false)`,
}

const destroy: Record<string, Make> = {
  prepare: sql => sql.unsafe('prepare mine as select 1'),
  deallocate: sql => sql.unsafe('deallocate all'),
  'discard all': sql => sql.unsafe('discard  all'),
  'prepare in a do': sql => sql.unsafe(`do $$ begin execute 'prepare mine2 as select 1'; end $$`),
  'a named dblink': sql => sql`select dblink_connect('a', 'dbname=postgres')`,
  'a temporary slot': sql => sql`select pg_create_logical_replication_slot('a', 'pgoutput', true)`,
  load: sql => sql.unsafe(`load 'plpgsql'`),
}

t.test('a statement', async t => {
  const { server, look } = await stand(t)
  await look.unsafe(`create table things (id int generated always as identity, title text); create role other;
    create procedure set_it() language sql as $$ select set_config('work_mem', '5015', false) $$;
    create function sets_it() returns text language sql as $$ select set_config('work_mem', '5025', false) $$`)
  const builder = createBuilder()
  const { host, port, user, password } = server
  const session = postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} }) as Driver
  t.teardown(() => session.end({ timeout: 1 }))

  const print = async (): Promise<string> => {
    const [row] = await session.unsafe(`select current_user, session_user,
      (select string_agg(name || '=' || setting, ',' order by name) from pg_settings
       where source = 'session' and name not in ('client_encoding', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')) as settings,
      (select string_agg(objid::text, ',') from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
      (select string_agg(channel, ',') from pg_listening_channels() channel) as channels,
      (select string_agg(name, ',') from pg_cursors where is_holdable) as cursors,
      (select string_agg(name, ',') from pg_prepared_statements where from_sql) as prepared,
      (select string_agg(relname, ',') from pg_class where relnamespace = pg_my_temp_schema()) as temporary,
      current_setting('work_mem') as work_mem, current_setting('search_path') as path,
      transaction_timestamp() = statement_timestamp() as alone`)
    return JSON.stringify(row)
  }
  const fresh = await print()
  const run = (make: Make) => (make(session) as Promise<unknown>).then(() => {}).catch(error => error)

  const predicted = (make: Make): SessionState => sessionStateOf(make(builder) as DriverQuery)

  for (const [name, make] of Object.entries(clean)) {
    await t.test(`${name} is clean, and leaves the session as it was`, async t => {
      t.equal(predicted(make), 'clean')
      t.equal(predicted(make), 'clean', 'clean the second time as well')
      const failure = await run(make)
      // MERGE came with PostgreSQL 15.
      t.notOk(failure && failure.code !== '42601', failure?.message)
      t.equal(await print(), fresh)
    })
  }
  for (const [name, make] of Object.entries(reset)) {
    await t.test(`${name} asks for a reset, and the reset takes it back`, async t => {
      t.equal(predicted(make), 'reset')
      await run(make)
      await session.unsafe(`rollback; ${RESET}`)
      t.equal(await print(), fresh)
    })
  }
  for (const [name, make] of Object.entries(destroy)) {
    await t.test(`${name} closes the connection`, async t => t.equal(predicted(make), 'destroy'))
  }
  t.ok([clean, reset, destroy].flatMap(Object.keys).length >= 40)

  await t.test('is classified by its effect: each of these did leave state', async t => {
    const leaving = [
      'set',
      'set_config',
      'set role',
      'a temporary table',
      'an advisory lock',
      'listen',
      'an open transaction',
      'set_config in a name of escapes',
      'set_config in a text that is run',
      'set_config as an identifier',
      'select into, with a comment between',
      'select into an identifier',
      'a cursor that outlives its transaction',
      'a write to the settings',
      'a write to the settings by identifier',
      'set_config behind distinct on',
      'set_config behind an operator',
      'a function of the user’s own',
    ]
    for (const name of leaving) {
      t.equal(await run(reset[name] as Make), undefined, name)
      t.not(await print(), fresh, name)
      await session.unsafe(`rollback; ${RESET}`)
    }
  })

  await t.test('that sets the seed gives no later user predictable numbers', async t => {
    const drawn = async () => {
      await session`select setseed(0.5)`
      await session.unsafe(`rollback; ${RESET}`)
      return (await session`select random() as n`)[0]?.n
    }
    t.not(await drawn(), await drawn())
  })
  await t.test('is clean by functions of the catalogue that are not volatile', async t => {
    const rows = await session<{ name: string; volatile: boolean }[]>`
      select proname as name, bool_or(provolatile = 'v') as volatile from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace group by 1`
    const known = new Map(rows.map(({ name, volatile }) => [name, volatile]))
    // Functions of later or earlier releases than this server's.
    const otherReleases = ['array_append', 'array_prepend', 'array_cat', 'date_bin', 'erf', 'erfc', 'range_agg']
    for (const name of harmlessFunctions) {
      if (CHECKED_BY_HAND.includes(name)) t.ok(known.has(name), name)
      else t.notOk(known.get(name) ?? !otherReleases.includes(name), name)
    }
  })
})
