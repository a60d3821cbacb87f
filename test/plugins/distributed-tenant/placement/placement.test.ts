// A service with two instances: where tenants are created and served, the checks of each part there, and that an
// instance that is down or frozen affects its own tenants alone.
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { placeOf } from '../../../../operations/archive/tenant-place.js'
import { instances as inspectByDoctor } from '../../../../operations/doctor/instances.js'
import type { OpenService } from '../../../../operations/open-services.js'
import type { DistributedTenantOptions } from '../../../../plugins/distributed-tenant/index.js'
import { parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { serverOwner } from '../../../../stack/servers/postgres-cluster.js'
import { fixture } from '../../../rig.js'
import { until } from '../../../until.js'
import { codeOf, severalInstances } from './several.js'

t.test('placement', async t => {
  const { app: build, tenancy: parts, look, instances, servers } = await severalInstances(t)
  const central = look('employee', 'employee_central')
  const away = look('b')
  const app = await build('employee', {
    instances,
    maxConnections: 10,
    maxConnectionsPerTenant: 4,
    acquireTimeout: 2_000,
  })
  const tenancy = await parts('employee', { instances, spares: 1, acquireTimeout: 60_000 })
  const place = async (id: string) =>
    (await central<{ instance: string }[]>`select instance from tenants where id = ${id}`)[0]?.instance
  const databases = async (sql: typeof central) =>
    (
      await sql<{ name: string }[]>`select datname as name from pg_database where datname like 'tenant%' order by 1`
    ).map(row => row.name)

  await t.test('new tenants go to the least full instance, and are complete there', async t => {
    for (const id of ['one', 'two', 'three', 'four']) await app.tenants.create({ id, name: id })
    t.same(await Promise.all(['one', 'two', 'three', 'four'].map(place)), ['main', 'b', 'main', 'b'])
    t.same(await databases(look('employee')), ['tenant_one_employee', 'tenant_three_employee'])
    t.same(await databases(away), ['tenant_four_employee', 'tenant_two_employee'])
    const inventory = await tenancy.inspectFleet()
    t.same(
      inventory.tenants.map(({ id, instance, findings }) => [id, instance, findings]),
      [
        ['four', 'b', []],
        ['one', 'main', []],
        ['three', 'main', []],
        ['two', 'b', []],
      ],
    )
    t.same([inventory.strayDatabases, inventory.strayRoles, inventory.openDatabases], [[], [], []])
    t.match(inventory.otherInstances, [{ instance: 'b', strayDatabases: [], strayRoles: [] }])
  })

  await t.test('the quota of an instance follows the budget of the process', async t => {
    const { tenants } = tenancy.pools
    const main = () => tenancy.connectionInfo().instances.main
    t.equal(main()?.budget, 45)
    tenants.resize(4)
    t.equal(main()?.budget, 3)
    let open = (): void => {}
    const passed = new Promise<void>(resolve => {
      open = resolve
    })
    t.teardown(() => open())
    const scopes = ['one', 'one', 'three', 'three'].map(id => tenancy.pools.clientFor(parseTenantId(id)))
    const all = scopes.map(({ sql }) => sql.begin(async sql => void (await sql`select 1`.then(() => passed))))
    await until('three are in use, and one waits', () => main()?.inUse === 3 && main()?.waiting === 1)
    open()
    await Promise.all(all)
    for (const scope of scopes) scope.release()
    tenants.resize(50)
  })

  await t.test('provisioning one again changes nothing, and an existing one stays where it is', async t => {
    t.match(await tenancy.provisioner.provision(parseTenantId('two')), {
      provisioned: 'ready',
      instance: 'b',
      attempts: 1,
    })
    await look('employee').unsafe('create database tenant_found_employee')
    await central`insert into tenants (id, name) values ('found', 'Found')`
    t.equal(await codeOf(tenancy.provisioner.provision(parseTenantId('found'))), 'TENANT_DATABASE_FOREIGN')
    t.equal(await place('found'), 'main')
    await central`delete from tenants where id = 'found'`
    await look('employee').unsafe('drop database tenant_found_employee')
  })

  await t.test('with a spare at home, home is taken from the spare and the other one from its template', async t => {
    tenancy.spares.start()
    await until('a spare', () => tenancy.spares.info().ready === 1)
    const made = []
    for (const id of ['five', 'six']) {
      await central`insert into tenants (id, name) values (${id}, ${id})`
      made.push(await tenancy.provisioner.provision(parseTenantId(id)))
    }
    t.match(made, [
      { provisioned: 'ready', instance: 'main', attempts: 1 },
      { provisioned: 'ready', instance: 'b', attempts: 1 },
    ])
    const [left] = await central`select count(*)::int as count from spares`
    t.ok((left?.count ?? 9) <= 1)
  })

  await t.test('each is served from its instance, and counted there', async t => {
    for (const id of ['one', 'two'])
      await app.tenants.run(id, ({ sql }) => sql`insert into notes (body) values (${id})`)
    const inside = look('b', 'tenant_two_employee')
    t.match(await inside`select body from notes`, [{ body: 'two' }])
    await inside.end()
    const place = await placeOf(tenancy.transfer, parseTenantId('two'))
    t.match(place.addressOf(place.name), { ...instances.b, database: 'tenant_two_employee' }, 'for backups too')
    t.match(await place.withDirectConnection(place.name, sql => sql`select body from notes`), [{ body: 'two' }])
    const info = app.tenants.connectionInfo()
    t.match(info.instances, { main: { open: 1, idle: 1, budget: 9 }, b: { open: 1, idle: 1, budget: 9 } })
    t.equal(info.open, 2)
    t.match((await app.tenants.health()).instances, { b: { status: 'up' } })
  })

  await t.test('a process without an instance in its configuration does not start', async t => {
    const blind: DistributedTenantOptions = {}
    await t.rejects(parts('employee', blind), {
      code: 'CONFIGURATION_INVALID',
      message: /instance b, which DB_INSTANCES/,
    })
  })

  await t.test('an instance without our mark stops the start', async t => {
    const { host, port } = servers.postgres.b as { host: string; port: number }
    await away.unsafe(`comment on database employee_instance is 'distributed-tenant:instance:v1 {"service":"core"}'`)
    await t.rejects(parts('employee', { instances: { b: { host, port } } }), { message: /belongs to core/ })
    await away.unsafe(
      `comment on database employee_instance is 'distributed-tenant:instance:v1 {"service":"employee"}'`,
    )
  })

  await t.test('roles are repaired on their instance', async t => {
    await away.unsafe('alter role tenant_two_employee nologin')
    const findings = async () => (await tenancy.inspectFleet()).tenants.find(({ id }) => id === 'two')?.findings
    t.same(await findings(), ['role_closed'])
    await tenancy.repairTenant(parseTenantId('two'))
    t.same(await findings(), [])
  })

  await t.test('a newer release migrates all of them', async t => {
    const newer = await parts('employee', { instances, migrations: { tenant: fixture('notes2') } })
    t.notOk(await newer.isUpToDate())
    const { migrateFleet } = await import('../../../../plugins/distributed-tenant/migration-runs/migrate.js')
    const { failed } = await migrateFleet(newer.fleet)
    t.same(failed, [])
    t.ok(await newer.isUpToDate())
    const versions = await central`select distinct schema_version as version from tenants`
    t.match(versions, [{ version: 2 }])
    t.equal(versions.length, 1)
  })

  await t.test('a deleted tenant’s database is dropped on its instance', async t => {
    await central`update tenants set lifecycle = 'deleted', purge_after = now() - interval '1 day' where id = 'four'`
    await tenancy.transfer.removeNow(parseTenantId('four'))
    t.notOk((await databases(away)).includes('tenant_four_employee'))
    t.match(await central`select provisioned from tenants where id = 'four'`, [{ provisioned: 'removed' }])
  })

  await t.test('frozen, it affects its own tenants alone', async t => {
    const server = servers.postgres.b as NonNullable<(typeof servers.postgres)[string]>
    for (const id of ['one', 'three', 'two']) await app.tenants.run(id, ({ sql }) => sql`select 1`)
    server.freeze()
    const stuck: Promise<unknown>[] = []
    try {
      for (let n = 0; n < 20; n++) {
        for (const id of ['two', 'six']) stuck.push(codeOf(app.tenants.run(id, ({ sql }) => sql`select ${n}::int`)))
      }
      for (let n = 0; n < 20; n++) {
        await Promise.all(
          ['one', 'three', 'five'].map(id => app.tenants.run(id, ({ sql }) => sql`select count(*) from notes`)),
        )
      }
      t.match((await app.tenants.health(300)).instances, { b: { status: 'down' } })
      t.equal((await app.tenants.health(2_000)).central.status, 'up')
      const { open, instances: by } = app.tenants.connectionInfo()
      t.ok(open <= 10 && (by.b?.open ?? 99) <= 9, `${open} open, ${by.b?.open} of them at b`)
    } finally {
      server.thaw()
    }
    await Promise.all(stuck)
    await until('served again', async () => (await codeOf(app.tenants.run('two', ({ sql }) => sql`select 1`))) === null)
  })

  await t.test('as a standby it is named as one, and as nothing else', async t => {
    const server = servers.postgres.b as NonNullable<(typeof servers.postgres)[string]>
    const signal = join(server.dir, 'standby.signal')
    writeFileSync(signal, '')
    const owner = serverOwner()
    if (owner) chownSync(signal, owner.uid, owner.gid)
    await server.restart()
    const found = await until('it answers', async () => {
      const { tenants } = await tenancy.inspectFleet()
      const two = tenants.find(({ id }) => id === 'two')?.findings
      return two?.includes('instance_unreachable') ? null : { tenants, two }
    })
    t.same(found.two, ['instance_standby'])
    t.same(found.tenants.find(({ id }) => id === 'one')?.findings, [])
    const service = { name: 'employee', target: {}, tenancy } as unknown as OpenService
    const problems = (await inspectByDoctor(service)).filter(one => !one.note)
    t.match(problems, [{ what: 'instance is a standby', about: 'b', instance: 'b', cure: /DB_INSTANCES.*failover/ }])
    t.equal(problems.length, 1)
    await away`select pg_promote(true, 60)`
    await until('it is a primary again', async () => {
      const { tenants } = await tenancy.inspectFleet()
      return tenants.find(({ id }) => id === 'two')?.findings.length === 0
    })
    t.same(
      (await inspectByDoctor(service)).filter(one => !one.note),
      [],
    )
  })

  await t.test('down, its tenants get 503, the others are served and new ones are made', async t => {
    await servers.postgres.b?.kill()
    await until('down', async () => {
      const code = await codeOf(app.tenants.run('two', ({ sql }) => sql`select 1`))
      return code === 'TENANT_DATABASE_UNAVAILABLE'
    })
    t.equal(await codeOf(app.tenants.run('one', ({ sql }) => sql`select 1`)), null)
    const { tenants } = await tenancy.inspectFleet()
    t.same(tenants.find(({ id }) => id === 'two')?.findings, ['instance_unreachable'])
    t.same(tenants.find(({ id }) => id === 'one')?.findings, [])
    const late = await parts('employee', { instances })
    t.ok(late, 'a process starts without it')
    for (const id of ['late', 'later', 'latest']) await app.tenants.create({ id, name: id })
    t.same(await Promise.all(['late', 'later', 'latest'].map(place)), ['main', 'main', 'main'])
    t.match(await central`select provisioned, instance from tenants where id = 'two'`, [
      { provisioned: 'ready', instance: 'b' },
    ])
  })
})
