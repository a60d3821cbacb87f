// The inspection of the whole fleet from the central database, the repair of one tenant, and the drop of one.
import t from 'tap'
import { dropTenantDatabase } from '../../../../plugins/distributed-tenant/databases/databases.js'
import { repairable } from '../../../../plugins/distributed-tenant/databases/findings.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import type { TenantId } from '../../../../plugins/distributed-tenant/types.js'
import { codeOf } from '../../../postgres/stand.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('the fleet', async t => {
  // Without its reconciler, which would repair the faults that are to be found.
  const { tenancy: parts, look } = await rig(t, ['employee'])
  const tenancy = await parts('employee')
  const server = look('employee')
  const central = look('employee', 'employee_central')
  for (const id of ['acme', 'globex']) {
    await central`insert into tenants (id, name) values (${id}, ${id})`
    await tenancy.provisioner.provision(parseTenantId(id))
  }
  const findings = async (id = 'acme') =>
    (await tenancy.inspectFleet()).tenants.find(tenant => tenant.id === id)?.findings
  const ask = async (id: TenantId) => {
    const scope = tenancy.pools.clientFor(id)
    try {
      await scope.sql`delete from notes`
    } finally {
      scope.release()
    }
  }
  const served = () => codeOf(ask(acme))
  const acme = parseTenantId('acme')
  const base = 'tenant_acme_employee'

  await t.test('in order has no findings, and no database is open to PUBLIC or unknown', async t => {
    await central`insert into tenants (id, name) values ('pending', 'Not made yet')`
    const inventory = await tenancy.inspectFleet()
    t.match(inventory, {
      tenants: [
        { id: 'acme', database: base, lifecycle: 'active', provisioned: 'ready', schemaVersion: 1, findings: [] },
        { id: 'globex', findings: [] },
        { id: 'pending', provisioned: 'pending', findings: [] },
      ],
      strayDatabases: [],
      strayRoles: [],
      openDatabases: [],
    })
  })

  await t.test('of many tenants has each once, in order', async t => {
    await central`insert into tenants (id, name) select 'many-' || n, 'Many' from generate_series(1, 1000) n`
    const rows = await central<{ id: string }[]>`select id from tenants order by id`
    const { tenants } = await tenancy.inspectFleet()
    t.same(
      tenants.map(({ id }) => id),
      rows.map(({ id }) => id),
    )
    t.equal(tenants.length, 1_003)
    await central`delete from tenants where id like 'many-%'`
  })

  await t.test('is read without a connection to a tenant’s database', async t => {
    await until('no connection is open', async () => {
      const left = await server`select pg_terminate_backend(pid) from pg_stat_activity where datname like 'tenant%'`
      return left.length === 0
    })
    const visits = async () => {
      const [row] = await server`
        select sum(sessions)::int as count from pg_stat_database where datname like 'tenant%'`
      return row?.count
    }
    await server`select pg_stat_force_next_flush()`
    const before = await visits()
    await tenancy.inspectFleet()
    t.equal(await visits(), before)
  })

  const harms: [finding: string, harm: () => Promise<unknown>][] = [
    ['open_to_public', () => server`grant connect on database ${server(base)} to public`],
    ['open_to_others', () => server`grant connect on database ${server(base)} to tenant_globex_employee`],
    ['closed_to_role', () => server`revoke connect on database ${server(base)} from ${server(base)}`],
    ['role_closed', () => server`alter role ${server(base)} nologin`],
    [
      'role_group',
      () => server.unsafe(`set role employee_service; grant tenant_globex_employee to ${base}; reset role`),
    ],
    ['role_group', () => server.unsafe(`set role employee_service; revoke employee_tenant from ${base}; reset role`)],
    ['role_settings', () => server`alter role ${server(base)} set work_mem = '1GB'`],
    ['role_powerful', () => server`alter role ${server(base)} createdb`],
    ['role_missing', () => server.unsafe(`revoke all on database ${base} from ${base}; drop role ${base}`)],
    ['role_key', () => central`update tenants set role_key = null where id = 'acme'`],
  ]
  for (const [finding, harm] of harms) {
    await t.test(`with ${finding} is reported, and repaired`, async t => {
      await harm()
      t.same(await findings(), [finding])
      t.ok(repairable.has(finding as never) || finding === 'role_powerful')
      await tenancy.repairTenant(acme)
      t.same(await findings(), [])
      // A session of the dropped role is ended; a pool that had it idle notices that a moment later.
      await until('served', async () => (await served()) === 'no error')
      t.same(await findings('globex'), [])
    })
  }

  await t.test('a dropped role is also created again by provisioning', async t => {
    await server.unsafe(`revoke all on database ${base} from ${base}; drop role ${base}`)
    t.match(await tenancy.provisioner.provision(acme), { provisioned: 'ready' })
    t.same(await findings(), [])
  })

  await t.test('a tenant made before there were roles gets one, and rights inside', async t => {
    const inside = look('employee', base)
    await server.unsafe(`revoke all on database ${base} from ${base}; drop role ${base}`)
    await central`update tenants set role_key = null where id = 'acme'`
    await inside.unsafe(`revoke all on all tables in schema public from employee_tenant; revoke all on schema public
      from employee_tenant; delete from distributed_tenant.schema_migrations
      where set = 'mark' and version = 2`)
    await inside.end()
    t.equal(await served(), 'TENANT_DATABASE_UNAVAILABLE')
    t.match(await tenancy.provisioner.provision(acme), { provisioned: 'ready' })
    await until('served', async () => (await served()) === 'no error')
  })

  await t.test('a mark that is gone or another’s is reported, and nothing is repaired or dropped', async t => {
    const [row] = await server`
      select shobj_description(oid, 'pg_database') as comment from pg_database where datname = ${base}`
    const comment = row?.comment as string
    for (const [text, finding] of [
      [null, 'mark_missing'],
      [comment.replace('acme', 'globex'), 'mark_wrong'],
      [comment.replace(/[0-9a-f]{32}/, '0'.repeat(32)), 'mark_wrong'],
    ]) {
      await server.unsafe(`comment on database ${base} is ${text === null ? 'null' : `'${text}'`}`)
      t.same(await findings(), [finding])
      t.equal(await codeOf(tenancy.repairTenant(acme)), 'TENANT_DATABASE_FOREIGN')
      t.equal(await codeOf(drop('acme')), 'TENANT_DATABASE_FOREIGN')
    }
    await server.unsafe(`comment on database ${base} is '${comment}'`)
    t.same(await findings(), [])
  })

  await t.test('databases and roles without a tenant, and open databases, are reported', async t => {
    await server`create database tenant_stray_employee owner employee_service`
    await server`create role tenant_lost_employee`
    await server`create database reports`
    // Another service may be making it at this moment.
    await server`create database tenant_acme_core`
    const inventory = await tenancy.inspectFleet()
    t.match(inventory, {
      strayDatabases: ['tenant_stray_employee'],
      strayRoles: ['tenant_lost_employee'],
      openDatabases: ['reports', 'tenant_stray_employee'],
    })
  })

  async function drop(id: string) {
    const [row] = await central<{ certificate: string | null; incarnation: string | null }[]>`
      select certificate, incarnation from tenants where id = ${id}`
    const tenant = {
      id: parseTenantId(id),
      service: parseServiceName('employee'),
      certificate: row?.certificate ?? null,
      incarnation: row?.incarnation ?? null,
    }
    return tenancy.pools.provisioning.session(sql => dropTenantDatabase(sql, tenant))
  }

  await t.test('a tenant’s database is dropped with its role, even in use, and a second time without harm', async t => {
    await ask(parseTenantId('globex'))
    t.equal(await drop('globex'), true)
    t.equal((await server`select 1 from pg_roles where rolname = 'tenant_globex_employee'`).length, 0)
    t.equal(await drop('globex'), false)
    t.same(await findings('globex'), ['database_missing'])
  })

  await t.test('a database that was ready and is gone is not created again empty', async t => {
    const globex = parseTenantId('globex')
    t.equal(await codeOf(tenancy.provisioner.provision(globex)), 'TENANT_DATABASE_MISSING')
    t.equal((await server`select 1 from pg_database where datname = 'tenant_globex_employee'`).length, 0)
    const [row] = await central`select step, last_error from tenants where id = 'globex'`
    t.match(row, { step: 'database', last_error: /was ready and is gone/ })
  })

  await t.test('a database that an interrupted DROP left is dropped', async t => {
    await server`update pg_database set datconnlimit = -2 where datname = ${base}`
    t.same(await findings(), ['database_invalid'])
    t.equal(await drop('acme'), true)
  })
})
