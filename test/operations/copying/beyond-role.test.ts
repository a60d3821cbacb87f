// Contents of a source that a service's role cannot create again are named by the plan, each by one database of a
// real server; contents that it can create are not.
import t from 'tap'
import { needsInTheWay, provisionsOf } from '../../../operations/copying/beyond-role.js'
import { createInstance } from '../../../operations/copying/external-instance.js'
import { notImportable } from '../../../operations/copying/not-copyable.js'
import { settingsLeftOut } from '../../../operations/copying/settings-left-out.js'
import { surveyDatabase } from '../../../operations/copying/survey.js'
import { rig } from '../../rig.js'

t.test('before anything is frozen, the plan', async t => {
  const { servers, look, tenancy } = await rig(t, ['core'])
  const { transfer } = await tenancy('core')
  const { host, port, user, password } = servers.postgres.core as NonNullable<typeof servers.postgres.core>
  const source = createInstance({
    host,
    port,
    user,
    password,
    database: 'postgres',
    ssl: 'disable',
    sslRootCert: undefined,
  })
  t.teardown(() => source.close())
  const superuser = look('core')
  const there = await provisionsOf(transfer.central)
  let count = 0
  const found = async (text: string) => {
    const name = `tenant_t${count++}_core`
    await superuser.unsafe(`create database ${name} template template0`)
    const inside = look('core', name)
    await inside.unsafe(text)
    await inside.end()
    const { needs } = await surveyDatabase(source, name, notImportable)
    const databases = [name, `${name}_here`] as const
    return [
      ...needsInTheWay(name, needs, 'core', there),
      ...(await settingsLeftOut(transfer.central, needs.databaseSettings, { databases, service: 'core' })),
    ]
  }

  const blocked: readonly (readonly [text: string, what: RegExp])[] = [
    ['create cast (varchar as jsonb) with inout as implicit', /cast from character varying to jsonb/],
    [
      "create type mood as enum ('ok'); create type temper as enum ('ok'); create cast (mood as temper) with inout; create cast (int8 as timestamp) without function",
      /cast from bigint to timestamp/,
    ],
    [
      "create function my_abs(int) returns int language internal immutable strict as 'int4abs'",
      /function my_abs\(integer\) \(language internal\)/,
    ],
    ['create function f() returns int language sql leakproof as $$ select 1 $$', /function f\(\) \(leakproof\)/],
    ['create foreign data wrapper dummy', /foreign data wrapper dummy/],
    ['create foreign data wrapper dummy; create server away foreign data wrapper dummy', /foreign server away/],
    [
      'create function f() returns event_trigger language plpgsql as $$ begin end $$; create event trigger e on ddl_command_end execute function f()',
      /event trigger e/,
    ],
    ['create language mine handler plpgsql_call_handler', /language mine/],
    ["create subscription s connection 'host=nowhere' publication p with (connect = false)", /subscription s/],
    ['create operator family of using btree', /operator family public\.of/],
    [
      'create operator class oc for type uuid using btree as function 1 uuid_cmp(uuid, uuid)',
      /operator class public\.oc/,
    ],
    ['create access method am type table handler heap_tableam_handler', /access method am/],
    ['create text search template tt (lexize = dsimple_lexize, init = dsimple_init)', /text search template tt/],
    [
      'create text search parser tp (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)',
      /text search parser tp/,
    ],
    [
      "create type b; create function b_in(cstring) returns b language internal immutable strict as 'int4in'; create function b_out(b) returns cstring language internal immutable strict as 'int4out'; create type b (input = b_in, output = b_out, internallength = 4, passedbyvalue)",
      /base type b/,
    ],
    [
      'create role app_reader; create table f (who text); alter table f enable row level security; create policy mine on f to app_reader using (true)',
      /needs the role app_reader for the policy mine on f/,
    ],
    [
      'create table secure (n int); alter table secure force row level security',
      /alter table secure no force row level security/,
    ],
    [
      'create function f() returns int language sql set session_replication_role = replica as $$ select 1 $$',
      /function f\(\), which sets session_replication_role/,
    ],
  ]
  for (const [text, what] of blocked) {
    await t.test(`stops at: ${text.slice(0, 60)}`, async t => {
      const obstacles = (await found(text)).filter(({ blocks }) => blocks)
      t.ok(
        obstacles.some(one => what.test(one.what)),
        JSON.stringify(obstacles),
      )
    })
  }

  await t.test('names the parts that are not copied and stops at none of them', async t => {
    const obstacles = await found(
      `create table f (n int primary key); create publication p for table f; create role "Reader, one";
       alter database tenant_t${count}_core set search_path = app, public;
       alter database tenant_t${count}_core set log_statement = 'all';
       alter database tenant_t${count}_core set session_preload_libraries = plpgsql, auto_explain;
       alter database tenant_t${count}_core set default_transaction_read_only = off;
       alter database tenant_t${count}_core set datestyle = 'SQL, DMY';
       alter database tenant_t${count}_core set app.key = 'geheim';
       alter role "Reader, one" in database tenant_t${count}_core set work_mem = '5MB'`,
    )
    const name = `tenant_t${count - 1}_core_here`
    const at = 'as a superuser at core’s instance'
    t.same(
      obstacles.map(({ what, blocks }) => [what, blocks]),
      [
        ['has the publication p, which does not come along: set it up again here', false],
        [
          `has the setting DateStyle, which is not copied, a style in which the driver reads other dates: after the import run \`alter database ${name} set "DateStyle" = 'ISO, DMY'\` ${at}`,
          false,
        ],
        [
          `has the setting app.key, which is not copied: after the import run \`alter database ${name} set app.key = '…'\` with the value that the source has ${at}`,
          false,
        ],
        [
          `has the setting default_transaction_read_only, which is not copied: after the import run \`alter database ${name} set default_transaction_read_only = 'off'\` ${at}`,
          false,
        ],
        [
          `has the setting log_statement, which is not copied: after the import run \`alter database ${name} set log_statement = 'all'\` ${at}`,
          false,
        ],
        [
          `has the setting session_preload_libraries, which is not copied: after the import run \`alter database ${name} set session_preload_libraries = 'plpgsql', 'auto_explain'\` ${at}`,
          false,
        ],
        [
          `has the setting work_mem of the role Reader, one, which is not copied: after the import run \`alter role "Reader, one" in database ${name} set work_mem = '5MB'\` ${at}, once the role is there`,
          false,
        ],
      ],
    )
    // Each line is one that the server takes.
    await superuser.unsafe(`create database ${name}`)
    for (const { what } of obstacles) {
      const [, line] = /`(alter .*)`/.exec(what) ?? []
      if (line) await superuser.unsafe(line)
    }
    const [{ settings } = {}] = await superuser`
      select count(*)::int as settings from pg_db_role_setting, unnest(setconfig)
      where setdatabase = (select oid from pg_database where datname = ${name})`
    t.equal(settings, 6)
  })

  await t.test('accepts everything that the service’s role can create', async t => {
    const obstacles = await found(`
      create type mood as enum ('ok', 'sad'); create type pair as (a int, b mood); create domain short as varchar(5);
      create type span as range (subtype = int4); create table f (n serial primary key, m mood[], p pair, s span, c text collate "C");
      create function to_mood(int) returns mood language sql as $$ select 'ok'::mood $$;
      create cast (int as mood) with function to_mood(int);
      create function g() returns trigger language plpgsql set work_mem = '8MB' as $$ begin return new; end $$;
      create trigger t before insert on f for each row execute function g();
      create aggregate total (int) (sfunc = int4pl, stype = int); create operator === (leftarg = int, rightarg = int, function = int4eq);
      create text search dictionary d (template = simple); create text search configuration c (copy = simple);
      create extension citext; create collation plain from "C";
      alter table f enable row level security; create policy p on f using (true)`)
    t.same(obstacles, [])
  })
})
