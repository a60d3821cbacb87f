// Spare databases: kept at their number, taken once, completely or not at all, and removed when they cannot be used.

import t from 'tap'
import { subscribe } from '../../../../plugins/distributed-tenant/diagnostics/channels.js'
import { onOutgoingEvent } from '../../../../plugins/distributed-tenant/diagnostics/outgoing-events.js'
import type { PublishedStep } from '../../../../plugins/distributed-tenant/diagnostics/steps.js'
import type { DistributedTenantOptions } from '../../../../plugins/distributed-tenant/index.js'
import { parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { fixture, rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('spares', async t => {
  const { app: build, tenancy: parts, look } = await rig(t, ['employee'])
  const server = look('employee')
  const central = look('employee', 'employee_central')
  const names = async () =>
    (
      await server<{ name: string }[]>`select datname as name from pg_database where datname like 'spare%' order by 1`
    ).map(row => row.name)
  const listed = async () =>
    (await central<{ name: string }[]>`select name from spares order by 1`).map(row => row.name)
  const same = async () => {
    const [there, registered] = [await names(), await listed()]
    return there.join() === registered.join() ? there : null
  }
  const keeping = async (wanted: number, options: DistributedTenantOptions = {}) => {
    const tenancy = await parts('employee', { spares: wanted, ...options })
    tenancy.spares.start()
    return tenancy
  }
  const settled = (wanted: number) =>
    until(`${wanted} spares`, async () => ((await same())?.length === wanted ? same() : null))

  const seen: PublishedStep[] = []
  t.teardown(subscribe(step => seen.push(step), undefined, ['spare', 'provision']))
  const tenancy = await keeping(3)

  await t.test('are made up to their number, in order of the steps', async t => {
    await settled(3)
    await until('counted', () => tenancy.spares.info().making === 0)
    t.same(tenancy.spares.info(), { wanted: 3, ready: 3, making: 0 })
    const steps = seen.flatMap(step => (step.area === 'spare' ? step.event.type : []))
    t.same(steps.slice(0, 4), ['making', 'cloned', 'certified', 'made'])
  })

  await t.test('are closed to every role, with a role that cannot log in', async t => {
    const rows = await server`
      select datallowconn, datacl::text as rights, rolcanlogin from pg_database join pg_roles on rolname = datname
      where datname like 'spare%'`
    t.equal(rows.length, 3)
    for (const row of rows) {
      t.match(row, { datallowconn: false, rolcanlogin: false })
      t.notMatch(row.rights, /[{,]=/)
    }
  })

  await t.test('one becomes a tenant’s completely: database, role, mark, registry and status event', async t => {
    const [first] = await central<{ name: string; certificate: string }[]>`
      select name, certificate from spares order by made_at limit 1`
    const [before] = await server`select oid from pg_database where datname = ${first?.name as string}`
    await central`insert into tenants (id, name) values ('acme', 'Acme')`
    const stop = onOutgoingEvent(({ headers }) => Object.assign(headers, { traceparent: '00-of-the-test' }))
    const row = await tenancy.provisioner.provision(parseTenantId('acme'))
    stop()
    t.match(row, {
      provisioned: 'ready',
      schemaVersion: 1,
      certificate: first?.certificate,
      attempts: 1,
      step: 'ready',
    })
    const [after] = await server`
      select oid, datallowconn, shobj_description(oid, 'pg_database') as comment from pg_database
      where datname = 'tenant_acme_employee'`
    t.match(after, { oid: before?.oid, datallowconn: true })
    t.match(JSON.parse(after?.comment.replace(/^\S+ /, '')), { tenant: 'acme', certificate: first?.certificate })
    const [inside] = await look('employee', 'tenant_acme_employee')`select * from distributed_tenant.certificate`
    t.equal(inside?.certificate, first?.certificate)
    const [event] = await central`select subject, message_id, headers, payload from outbox where tenant_id = 'acme'`
    t.match(event, {
      subject: 'tenant.ready.employee',
      headers: { traceparent: '00-of-the-test' },
      message_id: new RegExp(`^tenant\\.ready\\.employee:acme:${row?.revision}:[0-9a-f]{8}$`),
      payload: { id: 'acme', service: 'employee', status: 'ready', step: 'ready', schemaVersion: 1, attempts: 1 },
    })
    t.same(
      event?.payload.steps.map((step: { step: string }) => step.step),
      ['spare', 'ready'],
    )
    t.match(event?.payload.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    const scope = tenancy.pools.clientFor(parseTenantId('acme'))
    t.same([...(await scope.sql`select current_user as me`)], [{ me: 'tenant_acme_employee' }])
    scope.release()
    t.same((await tenancy.inspectFleet()).tenants[0]?.findings, [])
  })

  await t.test('and is replaced; the tenant that has one takes no other', async t => {
    await settled(3)
    const before = await listed()
    t.equal(await tenancy.spares.take(parseTenantId('acme')), 'ready')
    t.equal(await tenancy.spares.take(parseTenantId('unknown')), 'gone')
    t.same(await listed(), before)
  })

  await t.test('a burst in two replicas takes each once, and creates the rest without', async t => {
    const replica = await keeping(3)
    const ids = Array.from({ length: 12 }, (_, n) => parseTenantId(`burst-${n}`))
    for (const id of ids) await central`insert into tenants (id, name) values (${id}, 'Burst')`
    const twice = [...ids, ...ids]
    await Promise.all(twice.map((id, n) => (n % 2 ? tenancy : replica).provisioner.provision(id)))
    const inventory = await tenancy.inspectFleet()
    t.same(
      inventory.tenants
        .filter(({ id }) => id.startsWith('burst'))
        .map(({ provisioned, findings }) => [provisioned, ...findings]),
      ids.map(() => ['ready']),
    )
    const [counts] = await central`
      select count(distinct certificate)::int as certificates, max(attempts) as attempts,
        (select count(*)::int from outbox where tenant_id like 'burst%') as events
      from tenants where id like 'burst%'`
    t.match(counts, { certificates: 12, attempts: 1, events: 12 })
    const taken = seen.filter(step => step.area === 'spare' && step.event.type === 'taken').length
    t.ok(taken >= 4, `${taken} from spares`)
    await settled(3)
    await replica.close()
  })

  await t.test('leftovers of a killed keeper are removed: unfinished, unlisted, half dropped', async () => {
    await server`create database spare_employee_900 owner employee_service`
    await server.unsafe('set role employee_service; create role spare_employee_901; reset role')
    await server`create database spare_employee_902 owner employee_service`
    await server`update pg_database set datconnlimit = -2 where datname = 'spare_employee_902'`
    await central`insert into spares (name, template, certificate) values ('spare_employee_902', 'x', 'x')`
    await central`insert into spares (name, template, certificate) values ('spare_employee_903', 'x', 'x')`
    const next = await keeping(3)
    const left = () => server`
      select datname from pg_database where datname ~ 'spare_employee_90'
      union all select rolname from pg_roles where rolname ~ 'spare_employee_90'`
    await until('all are removed', async () => (await left()).length === 0)
    await settled(3)
    await next.close()
  })

  await t.test('one that was dropped by hand is replaced', async t => {
    // Otherwise the keeper may remove it before it is taken.
    await central`select pg_advisory_lock(hashtextextended('distributed_tenant.spares', 0))`
    const [oldest] = await central<{ name: string }[]>`select name from spares order by made_at limit 1`
    await server`drop database ${server(oldest?.name as string)}`
    await central`insert into tenants (id, name) values ('unlucky', 'Unlucky')`
    t.match(await tenancy.provisioner.provision(parseTenantId('unlucky')), { provisioned: 'ready' })
    t.ok(seen.some(step => step.area === 'spare' && step.event.type === 'refused' && step.event.id === 'unlucky'))
    await central`select pg_advisory_unlock(hashtextextended('distributed_tenant.spares', 0))`
    // The keeper looked when it was refused, and looks again at its own interval.
    await settled(3)
  })

  await t.test('a server that refuses to create one costs no tenant, and is asked again', async t => {
    await central`alter sequence spare_numbers owner to postgres`
    const failed = () => seen.filter(step => step.area === 'spare' && step.event.type === 'failed').length
    await central`insert into tenants (id, name) values ('lean', 'Lean')`
    t.match(await tenancy.provisioner.provision(parseTenantId('lean')), { provisioned: 'ready' }, 'from a spare')
    await until('the refusal is reported', () => failed() > 0)
    await central`alter sequence spare_numbers owner to employee_service`
    await settled(3)
  })

  await t.test('a new release replaces them, and drops the template that no process uses any more', async t => {
    const old = await listed()
    const newer = await keeping(3, { migrations: { tenant: fixture('notes2') } })
    const now = await until('all replaced', async () => {
      const rows = await settled(3)
      return rows.some(name => old.includes(name)) ? null : rows
    })
    t.equal(now.length, 3)
    const templates = async () =>
      (await server`select datname from pg_database where datname like 'template\\_%' order by 1`).map(
        row => row.datname,
      )
    t.same(await templates(), ['template_employee_1', 'template_employee_2'], 'the older release still runs')
    await tenancy.close()
    await central`update templates set used_at = now() - interval '11 minutes' where version = 1`
    await newer.close()
    const last = await keeping(3, { migrations: { tenant: fixture('notes2') } })
    await until('dropped', async () => (await templates()).length === 1)
    t.same(await templates(), ['template_employee_2'])
    await last.close()
  })

  await t.test('an older release beside a newer one makes none of its own and keeps the newer ones', async t => {
    const before = await settled(3)
    const older = await keeping(3)
    await until('its pass is over', async () => {
      const [row] = await central`select 1 from templates where version = 1 and used_at > now() - interval '5 seconds'`
      return row
    })
    await older.close()
    t.same(await listed(), before)
  })

  await t.test('a start applies this release’s text of the function that takes one, and only another text', async t => {
    const applied = async () => {
      const [row] = await central<{ row: string; text: string; comment: string }[]>`
        select xmin::text as row, prosrc as text, obj_description(oid, 'pg_proc') as comment
        from pg_proc where proname = 'take_spare'`
      return row
    }
    const startAgain = async () => (await parts('employee', { migrations: { tenant: fixture('notes2') } })).close()
    const before = await applied()
    t.match(before?.comment, /^distributed-tenant:function:v1 [0-9a-f]{32}$/)
    await startAgain()
    t.same(await applied(), before, 'the same text is left alone')
    const [known] = await central<{ text: string }[]>`select pg_get_functiondef('take_spare'::regproc) as text`
    await central.unsafe(known?.text.replace("return 'gone'", "return 'none'") as string)
    await central`comment on function take_spare is 'distributed-tenant:function:v1 of-another-release'`
    t.not((await applied())?.text, before?.text)
    await startAgain()
    t.match(await applied(), { text: before?.text, comment: before?.comment })
  })

  await t.test('none are made where the number is zero', async t => {
    const app = await build('employee', { migrations: { tenant: fixture('notes2') } })
    t.match(await app.tenants.create({ id: 'from-spare', name: 'x' }), { provisioned: 'ready' })
    await app.close()
    t.equal((await listed()).length, 2)
  })

  await t.test('a stop while one is being made is no failure', async t => {
    const from = seen.length
    const types = () => seen.slice(from).flatMap(step => (step.area === 'spare' ? [step.event.type] : []))
    const stopped = await keeping(40, { migrations: { tenant: fixture('notes2') } })
    await until('one is being made', () => types().includes('cloned'))
    // The pools end sessions after their deadline.
    await Promise.all([stopped.spares.close(), stopped.pools.close(0)])
    t.notOk(types().includes('failed'), types().join(' '))
    await stopped.close()
  })
})
