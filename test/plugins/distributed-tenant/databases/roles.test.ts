// The limits of SQL from one tenant: statements against others and the service, run on a live server as the tenant's
// own role.
import postgres from 'postgres'
import t from 'tap'
import {
  createCredentials,
  parseRoleKeys,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { codeOf } from '../../../postgres/stand.js'
import { fixture, rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('a tenant’s role', async t => {
  const { app: build, tenancy: parts, look, database } = await rig(t, ['employee'])
  const migrations = { tenant: fixture('schemas') }
  const app = await build('employee', { spares: 1, migrations })
  const tenancy = await parts('employee', { migrations })
  const server = look('employee')
  const central = look('employee', 'employee_central')
  const { host, port } = database('employee')
  const credentials = createCredentials(parseServiceName('employee'), parseRoleKeys(roleSecret))
  const login = (id: string, to = `tenant_${id}_employee`) => {
    const password = credentials.password(parseTenantId(id), credentials.current)
    const sql = postgres({
      host,
      port,
      database: to,
      user: `tenant_${id}_employee`,
      password,
      max: 1,
      onnotice() {},
    })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await app.tenants.create({ id: 'globex', name: 'Globex' })
  await until('a spare', async () => (await central`select 1 from spares`).length === 1)
  const [spare] = await central<{ name: string }[]>`select name from spares`
  const acme = login('acme')
  const globex = login('globex')

  await t.test('runs the queries of a handler', async t => {
    const [row] = await app.tenants.run('acme', ({ sql }) => sql`select current_user as me, session_user as session`)
    t.same(row, { me: 'tenant_acme_employee', session: 'tenant_acme_employee' })
  })

  await t.test('has no attribute, one group, and a verifier of one iteration', async t => {
    const [role] = await server`
      select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolpassword,
        array(select roleid::regrole::text from pg_auth_members where member = pg_authid.oid) as groups
      from pg_authid where rolname = 'tenant_acme_employee'`
    t.match(role, {
      rolsuper: false,
      rolcreatedb: false,
      rolcreaterole: false,
      rolreplication: false,
      rolbypassrls: false,
      rolcanlogin: true,
      rolpassword: /^SCRAM-SHA-256\$1:/,
      groups: ['employee_tenant'],
    })
    t.equal(role?.rolpassword, credentials.verifier(parseTenantId('acme')))
  })

  const nowhere: [to: string, code: string][] = [
    ['tenant_globex_employee', '42501'],
    ['employee_central', '42501'],
    ['postgres', '42501'],
    ['template1', '42501'],
    ['template0', '55000'],
    ['template_employee_1', '55000'],
    [spare?.name as string, '55000'],
  ]
  for (const [to, code] of nowhere) {
    await t.test(`cannot connect to ${to.replace(/\d+$/, 'n')}`, async t => {
      t.equal(await codeOf(login('acme', to)`select 1`), code)
    })
  }

  await globex`select 1`
  const [backend] = await server<{ pid: number }[]>`
    select pid from pg_stat_activity where datname = 'tenant_globex_employee' and usename = 'tenant_globex_employee'`
  const pid = backend?.pid as number

  await t.test('sees no query text of another', async t => {
    const rows = await acme`select query from pg_stat_activity where pid = ${pid}`
    t.same([...rows], [{ query: '<insufficient privilege>' }])
  })

  const refused: [what: string, statement: string, code?: string][] = [
    ['ends another’s session', `select pg_terminate_backend(${pid})`],
    ['cancels another’s query', `select pg_cancel_backend(${pid})`],
    ['drops another’s database', 'drop database tenant_globex_employee'],
    ['drops it by force', 'drop database tenant_globex_employee with (force)'],
    ['drops its own database', 'drop database tenant_acme_employee with (force)'],
    ['alters another’s database', 'alter database tenant_globex_employee connection limit 0'],
    ['alters its own database', 'alter database tenant_acme_employee rename to tenant_x_employee'],
    ['configures its own database', `alter database tenant_acme_employee set search_path = ''`],
    ['becomes another', 'set role tenant_globex_employee'],
    ['becomes the service', 'set role employee_service'],
    ['changes its session’s user', 'set session authorization employee_service'],
    ['makes a database', 'create database tenant_new_employee'],
    ['makes a role', 'create role tenant_new_employee login'],
    ['alters another role', `alter role tenant_globex_employee password 'x'`],
    ['joins the service', 'grant employee_service to tenant_acme_employee'],
    ['brings another into its group', 'grant employee_tenant to tenant_globex_employee with admin option'],
    ['runs a program', `copy (select 1) to program 'true'`],
    ['reads a file through COPY', `copy public.words from '/etc/passwd'`],
    ['reads a file', `select pg_read_file('/etc/passwd')`],
    ['imports a file', `select lo_import('/etc/passwd')`],
    ['makes an extension that connects elsewhere', 'create extension dblink'],
    ['makes an extension that is trusted', 'create extension pgcrypto'],
    ['makes a table', 'create table public.mine (x int)'],
    ['makes a schema', 'create schema mine'],
    ['alters a table', 'alter table public.words add column x int'],
    ['drops a table', 'drop table public.words'],
    ['empties a table at once', 'truncate public.words'],
    ['forges the mark', `comment on database tenant_acme_employee is 'distributed-tenant:v1 {}'`],
    ['reads the certificate', 'select * from distributed_tenant.certificate'],
    ['forges the certificate', `update distributed_tenant.certificate set certificate = 'x'`],
    ['forges the schema version', 'delete from distributed_tenant.schema_migrations'],
    ['raises its file limit', 'set temp_file_limit = -1'],
    ['passes row security', 'alter role tenant_acme_employee bypassrls'],
  ]
  for (const [what, statement, code = '42501'] of refused) {
    await t.test(`is refused when it ${what}`, async t => {
      t.equal(await codeOf(acme.unsafe(statement)), code)
    })
  }

  await t.test('cannot open its database to another: GRANT warns and grants nothing', async t => {
    await acme.unsafe('grant connect on database tenant_acme_employee to tenant_globex_employee')
    await acme.unsafe('grant connect on database tenant_acme_employee to public')
    t.equal(await codeOf(login('globex', 'tenant_acme_employee')`select 1`), '42501')
  })

  await t.test('works on rows and sequences, in schemas and tables of later migrations too', async t => {
    await acme`insert into public.words (title) values ('one')`
    await acme`insert into side.things (title) values ('two')`
    await acme`update side.things set title = 'three'`
    t.same([...(await acme`select title from side.things`)], [{ title: 'three' }])
    t.same([...(await acme`select side.loud('three') as loud`)], [{ loud: 'THREE' }])
    await acme`create temporary table mine (x int)`
    await acme`delete from side.things`
    const later = await build('employee', { migrations: { tenant: fixture('schemas2') } })
    await later.tenants.create({ id: 'acme', name: 'Acme' })
    await acme`insert into side.later (title) values ('four')`
    // The start first removes the spare of the release before: row, database, role.
    await until('the spare is removed', async () => {
      const left = await server`select 1 from pg_roles where rolname like 'spare%'`
      return left.length === 0 && (await central`select 1 from spares`).length === 0
    })
  })

  await t.test('gets no right from its group or from others in it', async t => {
    const members = async () => [
      ...(await server`select roleid, member, grantor from pg_auth_members where roleid >= 16384 order by 1, 2, 3`),
    ]
    const before = await members()
    await acme.unsafe('drop owned by tenant_acme_employee; drop owned by employee_tenant')
    t.equal(await codeOf(acme.unsafe('drop owned by tenant_globex_employee')), '42501')
    t.same(await members(), before)
    for (const sql of [login('acme'), login('globex')])
      t.equal(await codeOf(sql`select * from public.words`), 'no error')
  })

  await t.test('holds locks and receives notifications in its own database alone', async t => {
    await acme`select pg_advisory_lock(1)`
    t.same([...(await globex`select pg_try_advisory_lock(1) as free`)], [{ free: true }])
    await acme`select pg_advisory_unlock_all()`
  })

  await t.test('may break its own settings and password, which is detected and repaired', async t => {
    // No reconciler repairs it before it is detected.
    await central`select pg_advisory_lock(hashtextextended('distributed_tenant.reconcile', 0))`
    await acme.unsafe(`alter role tenant_acme_employee set search_path = 'nowhere'`)
    await acme.unsafe(`alter role tenant_acme_employee in database tenant_acme_employee set work_mem = '1GB'`)
    const findings = async () => {
      const inventory = await tenancy.inspectFleet()
      return inventory.tenants.find(({ id }) => id === 'acme')?.findings
    }
    t.same(await findings(), ['role_settings'])
    await tenancy.repairTenant(parseTenantId('acme'))
    t.same(await findings(), [])
    await central`select pg_advisory_unlock(hashtextextended('distributed_tenant.reconcile', 0))`

    await acme.unsafe(`alter role tenant_acme_employee password 'my-own'`)
    const served = () => codeOf(app.tenants.run('acme', ({ sql }) => sql`select 1`))
    await server`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tenant_acme_employee'`
    t.equal(await served(), 'TENANT_DATABASE_UNAVAILABLE')
    await until('repaired', async () => (await served()) === 'no error')
  })

  await t.test('that was given more rights by hand is reported at the start, and refuses it in production', async t => {
    await server`alter role tenant_globex_employee createdb`
    const more = {
      production: true,
      trustedGateway: true,
      identity: null,
      database: { ...database('employee'), ssl: 'prefer' as const },
    }
    await t.rejects(build('employee', { ...more, migrations: { tenant: fixture('schemas2') } }), {
      code: 'CONFIGURATION_INVALID',
      message: /tenant_globex_employee can do more than a tenant may/,
    })
    await server`alter role tenant_globex_employee nocreatedb`
  })
})
