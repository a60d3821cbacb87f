import postgres from 'postgres'
import t from 'tap'
import { type PublishedStep, subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { fixture, rig } from '../../../rig.js'
import { until } from '../../../until.js'

type Reconcile = Extract<PublishedStep, { area: 'reconcile' }>['event']

t.test('a service and its own instance', async t => {
  const { app: build, look } = await rig(t, ['employee'])
  const seen: PublishedStep[] = []
  t.teardown(subscribe(step => seen.push(step), undefined, ['reconcile', 'connection']))
  const reconciled = (from = 0) => seen.slice(from).flatMap(one => (one.area === 'reconcile' ? [one.event] : []))
  const drift = (id: string) => reconciled().filter(event => event.type === 'drift' && event.id === id)

  // The comparisons run by the clock, so that they find the same as in a running service.
  const app = await build('employee', { reconcileInterval: 100 })
  const server = look('employee')
  const central = look('employee', 'employee_central')
  const everything = (event: Reconcile) => event.type === 'pass' && event.everything
  /** After two more whole passes at least one has begun after now. */
  const looked = async () => {
    const from = seen.length
    await until('two whole passes', () => reconciled(from).filter(everything).length >= 2)
  }
  const row = (id: string) => app.tenants.find(id)
  for (const id of ['acme', 'globex', 'initech', 'umbrella', 'hooli']) await app.tenants.create({ id, name: id })

  await t.test('that agree are left unchanged, without a connection to any tenant’s database', async t => {
    const before = await row('acme')
    await looked()
    const from = seen.length
    await looked()
    const tenants = seen.slice(from).filter(step => step.area === 'connection' && step.pool !== 'central')
    t.same(tenants, [], 'no connection except to the central database')
    t.same(
      reconciled().filter(event => event.type === 'drift'),
      [],
    )
    t.same(await row('acme'), before)
  })

  await t.test('one that is being made is closed by the process that makes it', async t => {
    await central`insert into tenants (id, name, version) values ('coming', 'Coming', 1)`
    await server`create database tenant_coming_employee owner employee_service template template_employee_1`
    const from = seen.length
    await looked()
    t.same(
      reconciled(from).filter(event => event.type === 'drift'),
      [],
    )
    await server`drop database tenant_coming_employee`
    await central`delete from tenants where id = 'coming'`
  })

  await t.test('one that another service on this instance is making is for that service to close', async t => {
    await server`create role core_service`
    await server`create database tenant_coming_core owner core_service template template0`
    await looked()
    t.same(drift('tenant_coming_core'), [])
    await server`create database reports owner core_service template template0`
    await until('any other open database is reported', () => drift('reports').length > 0)
    for (const name of ['tenant_coming_core', 'reports']) await server`drop database ${server(name)}`
    await server`drop role core_service`
  })

  await t.test('a database that a killed creation left open, of a tenant deleted since, is closed', async t => {
    await central`insert into tenants (id, name, lifecycle, version) values ('halfway', 'Halfway', 'deleted', 2)`
    await server`create database tenant_halfway_employee owner employee_service template template_employee_1`
    const open = async () => {
      const [found] = await server`
        select has_database_privilege('public', oid, 'connect') as open from pg_database
        where datname = 'tenant_halfway_employee'`
      return found?.open
    }
    await until('closed', async () => (await open()) === false)
    await until('the drift is reported', () => drift('tenant_halfway_employee').length > 0)
    t.match(drift('tenant_halfway_employee'), [{ kind: 'open_database', action: 'repaired' }])
    await server`drop database tenant_halfway_employee`
    await central`delete from tenants where id = 'halfway'`
  })

  await t.test('a ready tenant whose database is gone is refused, and no empty database is created', async t => {
    await server`drop database tenant_acme_employee with (force)`
    await until('stopped', async () => (await row('acme'))?.provisioned === 'failed')
    await until('it is reported', () => drift('acme').length > 0)
    t.match(await row('acme'), { lastError: /is gone: restore it/, step: 'database' })
    t.match(drift('acme'), [{ kind: 'database_missing', action: 'stopped' }])
    const [status] = await central`
      select payload from outbox where tenant_id = 'acme' and subject = 'tenant.failed.employee'`
    t.match(status?.payload, { status: 'failed', error: /is gone/ })
    await t.rejects(app.tenants.retry('acme'), { code: 'TENANT_DATABASE_MISSING' })
    await looked()
    t.same(await server`select 1 from pg_database where datname = 'tenant_acme_employee'`, [])
  })

  await t.test('… and it is served again after a restore', async t => {
    const [known] = await central`select certificate from tenants where id = 'acme'`
    await server`create database tenant_acme_employee owner employee_service template template_employee_1`
    const inside = look('employee', 'tenant_acme_employee')
    await inside`insert into distributed_tenant.certificate (certificate) values (${known?.certificate})`
    await inside.end()
    t.match(await app.tenants.retry('acme'), { provisioned: 'ready', certificate: known?.certificate })
  })

  await t.test('a database with another tenant’s mark is no longer served from', async t => {
    const [mark] = await server<{ text: string }[]>`
      select shobj_description(oid, 'pg_database') as text from pg_database where datname = 'tenant_hooli_employee'`
    await server.unsafe(`comment on database tenant_globex_employee is '${mark?.text}'`)
    await until('stopped', async () => (await row('globex'))?.provisioned === 'foreign')
    await until('it is reported', () => drift('globex').length > 0)
    t.match(drift('globex'), [{ kind: 'mark_wrong', action: 'stopped' }])
    const [status] = await central`
      select payload from outbox where tenant_id = 'globex' and subject = 'tenant.failed.employee'`
    t.match(status?.payload, { status: 'failed', foreign: true })
    await t.rejects(
      app.tenants.run('globex', () => {}),
      { code: 'TENANT_DATABASE_UNAVAILABLE' },
    )
  })

  await t.test('a lost mark is written again after a check of the database’s contents', async t => {
    await server`comment on database tenant_initech_employee is null`
    await until('the drift is reported', () => drift('initech').length > 0)
    await until('ready', async () => (await row('initech'))?.provisioned === 'ready')
    const [mark] = await server`
      select shobj_description(oid, 'pg_database') as text from pg_database where datname = 'tenant_initech_employee'`
    t.match(mark?.text, /"tenant":"initech"/)
    t.match(drift('initech'), [{ kind: 'mark_missing', action: 'repaired' }])
  })

  await t.test('a database that was opened to PUBLIC is closed again', async t => {
    await server.unsafe(`create role passer_by login password 'passing'`)
    const { host, port } = server.options as unknown as { host: string[]; port: number[] }
    const inside = postgres({
      host: host[0] as string,
      port: port[0] as number,
      user: 'passer_by',
      password: 'passing',
      database: 'tenant_umbrella_employee',
      max: 1,
      onnotice() {},
    })
    t.teardown(() => inside.end({ timeout: 1 }))
    const [came] = await central.begin(async held => {
      // No comparison closes it before that connection is there.
      await held`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.reconcile', 0))`
      await server`grant connect on database tenant_umbrella_employee to public`
      return inside<{ pid: number }[]>`select pg_backend_pid() as pid`
    })
    const open = async () => {
      const [rights] = await server<{ open: boolean }[]>`
        select exists (select 1 from aclexplode(datacl) where grantee = 0) as open
        from pg_database where datname = 'tenant_umbrella_employee'`
      return rights?.open
    }
    await until('closed', async () => !(await open()))
    await until('the drift is reported', () => drift('umbrella').length > 0)
    t.match(drift('umbrella'), [{ kind: /open_to_public/, action: 'repaired' }])
    t.same(
      await server`select pid from pg_stat_activity where pid = ${came?.pid as number}`,
      [],
      'a session that used that access is ended',
    )
    t.match(await row('umbrella'), { provisioned: 'ready' })
  })

  await t.test('a database without a tenant is reported once, and kept', async t => {
    await server`create database tenant_nobody_employee owner employee_service template template0`
    await until('the drift is reported', () => drift('tenant_nobody_employee').length > 0)
    await looked()
    t.match(drift('tenant_nobody_employee'), [{ kind: 'stray_database', action: 'reported' }])
    t.equal((await server`select 1 from pg_database where datname = 'tenant_nobody_employee'`).length, 1)
  })

  await t.test('a database that an import is filling is no stray, while it is not over', async t => {
    await central`insert into transfers (id, kind, source) values ('one', 'import', 'old.example.com:5432/shared')`
    await central`insert into transfer_tenants (transfer_id, tenant_id, source_database, step, facts, baseline, bytes)
      values ('one', 'coming', 'shared', 'copied', '{}', 1, 0)`
    await server`create database tenant_coming_employee owner employee_service template template0`
    await server`create role tenant_coming_employee`
    await looked()
    await looked()
    t.notMatch(JSON.stringify(drift('tenant_coming_employee')), /stray/)
    await central`update transfer_tenants set step = 'failed' where tenant_id = 'coming'`
    await until('then it is one', () => /stray_database/.test(JSON.stringify(drift('tenant_coming_employee'))))
    await server`drop database tenant_coming_employee`
    await server`drop role tenant_coming_employee`
    await central`delete from transfers`
  })

  await t.test('a tenant that no process has made ready is made ready', async () => {
    await central`insert into tenants (id, name, updated_at) values ('late', 'Late', now() - interval '1 hour')`
    await until('ready', async () => (await row('late'))?.provisioned === 'ready')
  })

  await t.test('tenants behind a new release are reported, and left to a migration run with its canaries', async t => {
    await build('employee', { migrations: { tenant: fixture('notes2') }, reconcileInterval: 100 })
    await until('the drift is reported', () => drift('employee').length > 0)
    t.match(drift('employee')[0], { kind: 'schema_behind', action: 'reported', detail: /version 2: run .*migrate/ })
    await looked()
    t.match(await row('acme'), { provisioned: 'ready', schemaVersion: 1 })
  })

  await t.test('one replica compares at a time', async t => {
    const skips = () => reconciled().filter(({ type }) => type === 'skipped').length
    await central.begin(async held => {
      await held`select pg_advisory_xact_lock(hashtextextended('distributed_tenant.reconcile', 0))`
      const before = skips()
      const from = seen.length
      await until('skipped', () => skips() > before + 2)
      const passes = reconciled(from).filter(({ type }) => type === 'pass')
      t.ok(passes.length <= 2, 'only those that were under way')
    })
    await looked()
  })
})
