// Imports from servers of other versions than the target's: an older one is imported completely, a newer one than
// pg_dump is refused before any change, with the cure.
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { serviceNames } from '../../stack/names.js'
import { noPostgres, otherPostgres } from '../other-postgres.js'
import { awkwardNames, identifier, oldServer } from './import-source.js'
import { importStand } from './import-stand.js'

/** The version of this machine's pg_dump. */
const client = Number(/ (\d+)/.exec(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' }))?.[1])

t.test('from PostgreSQL 14, which is older', async t => {
  const bin = otherPostgres(t, 14)
  if (bin === null) return void t.pass(noPostgres(14), { skip: true })
  const stand = await importStand(t, bin)
  const { old, target, exists } = stand
  const names = awkwardNames(40)
  await old.database(
    'tenant_acme_core',
    'create extension citext',
    "create type mood as enum ('calm', 'cross')",
    'create table facts (n bigserial primary key, at timestamptz, mood mood, name citext, parts jsonb, amounts numeric[])',
    `insert into facts (at, mood, name, parts, amounts)
      select now(), 'calm', 'Row ' || g, jsonb_build_object('g', g), array[g / 7.0, 'NaN'] from generate_series(1, 5000) g`,
    'create table parted (n int, primary key (n)) partition by range (n)',
    'create table parted_low partition of parted for values from (0) to (100)',
    'insert into parted select generate_series(0, 99)',
    'create materialized view counted as select mood, count(*) from facts group by mood',
    "create function twice(n int) returns int language sql immutable as 'select n * 2'",
    names
      .map(name => `create table ${identifier(name)} (v text); insert into ${identifier(name)} values (${"'x'"})`)
      .join(';'),
  )
  t.match(await old.look('postgres')`show server_version`, [{ server_version: /^14\./ }])
  const { code, out, err } = await stand.command(['--json', 'import-hybrid', '--from', old.url, '--yes'])
  t.equal(code, 0, out + err)
  t.match(JSON.parse(out).tenants, [{ id: 'acme', state: 'ready', error: null }])
  const inside = target('core', 'tenant_acme_core')
  t.match(
    await inside`select count(*)::int as n, max(n)::int as last from facts where name = upper(name::text)::citext`,
    [{ n: 5_000, last: 5_000 }],
  )
  t.match(await inside`select count(*)::int as n from parted`, [{ n: 100 }])
  t.match(await inside`select twice(21), (select count from counted)::int as counted`, [{ twice: 42, counted: 5_000 }])
  for (const service of serviceNames) t.ok(await exists(service, `tenant_acme_${service}`), service)
  t.equal((await stand.command(['verify', 'acme'])).code, 0)
  t.equal((await stand.command(['doctor'])).code, 0)
  t.notOk(await old.isOpen('tenant_acme_core'), 'stays frozen')
  const run = JSON.parse((await stand.command(['--json', 'import-hybrid', '--list'])).out).runs[0].id
  const thawed = await stand.command(['import-hybrid', '--from', old.url, '--thaw', run, '--yes'])
  t.equal(thawed.code, 0, thawed.err)
  t.ok(await old.isOpen('tenant_acme_core'))

  await t.test('from PostgreSQL 17 with an older pg_dump: refused before any change', async t => {
    const newer = otherPostgres(t, 17)
    if (newer === null) return void t.pass(noPostgres(17), { skip: true })
    if (client >= 17) return void t.pass(`pg_dump is ${client} here, which is not older`, { skip: true })
    const there = await oldServer(t, newer)
    await there.database('tenant_late_core', 'create table facts as select generate_series(1, 10) n')
    const { code, out, err } = await stand.command(['import-hybrid', '--from', there.url, '--yes'], {
      SOURCE_PASSWORD: there.password,
    })
    t.equal(code, 1, out + err)
    t.match(out, new RegExp(`pg_dump +is version ${client}, .* PostgreSQL 17.*: install postgresql-client-17`))
    t.match(err, /Nothing was changed/)
    t.ok(await there.isOpen('tenant_late_core'))
    t.notOk(await exists('core', 'tenant_late_core'))
    t.same([...(await target('core')`select 1 from transfer_tenants where tenant_id = 'late'`)], [])
  })
})
