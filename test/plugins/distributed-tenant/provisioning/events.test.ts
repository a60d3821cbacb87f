import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { StatusEvent } from '../../../../events/index.js'
import { subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { barePublish, rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('tenants by event', async t => {
  const { app: build, look, servers } = await rig(t, ['identity', 'employee'])
  const { nats } = servers
  const statuses: StatusEvent[] = []
  const identity = await build('identity', {
    nats: nats.url,
    source: true,
    onStatus: async event => void statuses.push(event),
  })
  const employee = await build('employee', { nats: nats.url })
  const ready = (app: typeof employee, id: string) =>
    until(`${id} ready`, async () => {
      const row = await app.tenants.find(id)
      return row?.provisioned === 'ready' ? row : null
    })

  await t.test('a creation at the source reaches every service, and every service answers with its status', async t => {
    const row = await identity.tenants.create({
      id: 'acme',
      name: 'Acme',
      domain: 'acme.hrms.local',
      settings: { a: 1 },
    })
    t.match(row, { version: 1, provisioned: 'pending' })
    t.match(await ready(employee, 'acme'), { version: 1, name: 'Acme', domain: 'acme.hrms.local', settings: { a: 1 } })
    await ready(identity, 'acme')
    const output = () => statuses.filter(status => status.id === 'acme' && status.status === 'ready')
    await until('both statuses', () => output().length === 2)
    t.same(
      output()
        .map(status => status.service)
        .sort(),
      ['employee', 'identity'],
    )
  })

  await t.test('a bare message makes one in every service, and the source records it as version 1', async t => {
    await barePublish(nats, 'tenant.created', '{"id":"globex","name":"Globex"}')
    t.match(await ready(identity, 'globex'), { name: 'Globex', version: 1 })
    await ready(employee, 'globex')
    await until('the version reaches employee', async () => (await employee.tenants.find('globex'))?.version === 1)
  })

  await t.test('ten bare messages at once to two replicas make one database each and no error', async t => {
    const replica = await build('employee', { nats: nats.url })
    await Promise.all(
      Array.from({ length: 10 }, () => barePublish(nats, 'tenant.created', '{"id":"initech","name":"Initech"}')),
    )
    await ready(replica, 'initech')
    await ready(identity, 'initech')
    for (const service of ['identity', 'employee']) {
      const rows = await look(service)`select datname from pg_database where datname like 'tenant\\_initech%'`
      t.same(
        rows.map(row => row.datname),
        [`tenant_initech_${service}`],
      )
      const [central] = await look(service, `${service}_central`)`
        select (select count(*)::int from dead_events) as dead, attempts, last_error from tenants where id = 'initech'`
      t.match(central, { dead: 0, attempts: 1, last_error: null })
    }
  })

  await t.test('changes at the source are applied by version; a late older one changes nothing', async t => {
    await identity.tenants.suspend('acme', 'an operator')
    await until('suspended', async () => (await employee.tenants.find('acme'))?.lifecycle === 'suspended')
    await barePublish(nats, 'tenant.activated', '{"id":"acme","version":1,"name":"Old","is_active":true}')
    await identity.tenants.update('globex', { name: 'Globex Inc.' })
    await until('the later one has arrived', async () => (await employee.tenants.find('globex'))?.version === 2)
    t.match(await employee.tenants.find('acme'), { lifecycle: 'suspended', version: 2, name: 'Acme' })
    await identity.tenants.activate('acme')
    await until('active', async () => (await employee.tenants.find('acme'))?.lifecycle === 'active')
  })

  await t.test('a request may ask for a tenant that is not served yet', async t => {
    await barePublish(nats, 'tenant.created', '{"id":"early","name":"Early","is_active":false}')
    for (const app of [identity, employee]) {
      await ready(app, 'early')
      t.match(await app.tenants.find('early'), { lifecycle: 'suspended' })
    }
  })

  await t.test('a forged event, however high its version, changes nothing where tenants are made', async t => {
    let seen = 0
    t.teardown(
      subscribe(step => {
        if (step.area !== 'events' || step.service !== 'identity' || step.event.type !== 'acked') return
        // The ledger receives the statuses of the services by another durable.
        if (step.event.durable === 'tenants-identity' && step.event.tenantId === 'forged') seen++
      }),
    )
    await identity.tenants.create({ id: 'forged', name: 'Genuine' })
    await ready(employee, 'forged')
    await until('identity has received its own event', () => seen === 1)
    for (const kind of ['created', 'updated', 'suspended', 'deleted']) {
      await barePublish(nats, `tenant.${kind}`, '{"id":"forged","version":9007199254740991,"name":"Forged"}')
    }
    // A `created` of another version than 1 is a dead letter, which is not acknowledged as done.
    await until('identity has received the other three', () => seen === 4)
    t.match(await identity.tenants.find('forged'), { version: 1, name: 'Genuine', lifecycle: 'active' })
    t.match(await identity.tenants.update('forged', { name: 'Changed' }), { version: 2 }, 'nor does it block identity')
  })

  await t.test('a deletion is refused at once, keeps the database, and its id is never used again', async t => {
    await identity.tenants.remove('initech')
    await until('deleted', async () => (await employee.tenants.find('initech'))?.lifecycle === 'deleted')
    t.equal((await look('employee')`select 1 from pg_database where datname = 'tenant_initech_employee'`).length, 1)
    await t.rejects(identity.tenants.create({ id: 'initech', name: 'Again' }), { code: 'TENANT_ID_TAKEN' })
    await t.rejects(
      employee.tenants.run('initech', () => {}),
      { code: 'TENANT_NOT_FOUND' },
    )
  })

  await t.test('an event that can never work is a dead letter with its reason, and changes nothing', async t => {
    const dead = async (service: string) =>
      look(
        service,
        `${service}_central`,
      )`select reason, convert_from(data, 'UTF8') as body from dead_events order by id`
    const cases: [subject: string, body: string, reason: RegExp][] = [
      ['tenant.created', 'not json', /JSON/],
      ['tenant.created', '{"name":"No id"}', /id is missing/],
      ['tenant.created', '{"id":"Bad Id"}', /id/],
      ['tenant.created', '{"id":"postgres"}', /reserved/],
      ['tenant.deleted', '{"id":"acme"}', /version/],
      ['tenant.created', '{"id":"initech","name":"Reborn"}', /taken/],
    ]
    for (const [subject, body] of cases) await barePublish(nats, subject, body)
    const rows = await until('all are dead letters at the source', async () => {
      const found = await dead('identity')
      // One more is the forged `created` of above.
      return found.length === cases.length + 1 ? found : null
    })
    for (const [, body, reason] of cases) t.match(rows.find(row => row.body === body)?.reason, reason, body)
    t.equal(await employee.tenants.find('postgres'), null)
    t.match(await employee.tenants.find('acme'), { lifecycle: 'active' })
  })

  await t.test('a foreign database of the right name is a dead letter and a failed status', async t => {
    await look('employee')`create database tenant_umbrella_employee`
    await identity.tenants.create({ id: 'umbrella', name: 'Umbrella' })
    await until('a status', () => statuses.some(one => one.id === 'umbrella' && one.status === 'failed'))
    const central = look('employee', 'employee_central')
    const row = await until('buried', async () => {
      const [found] = await central`select reason from dead_events where reason like '%tenant_umbrella_employee%'`
      return found
    })
    t.match(row.reason, /not ours/)
    t.match(await ready(identity, 'umbrella'), { provisioned: 'ready' }, 'the other service is not affected')
  })

  await t.test('with NATS down creations are accepted, and provisioned when it is back', async t => {
    await until('all is sent', async () => (await identity.tenants.figures()).stored?.outbox.waiting === 0)
    await nats.kill()
    for (let n = 1; n <= 5; n++) await identity.tenants.create({ id: `later-${n}`, name: 'Later' })
    t.match(await identity.tenants.health(), { central: { status: 'up' }, events: { status: 'down' } })
    t.match(await identity.tenants.figures(), { stored: { outbox: { waiting: 5 } }, consumers: null })
    t.match(await employee.tenants.run('acme', ({ sql }) => sql`select 1 as one`), [{ one: 1 }], 'served meanwhile')
    await nats.restart()
    for (let n = 1; n <= 5; n++) await ready(employee, `later-${n}`)
  })

  await t.test('a stream that is lost for good is created again, and waiting events are published', async () => {
    await nats.kill()
    await identity.tenants.create({ id: 'phoenix', name: 'Phoenix' })
    rmSync(join(servers.dir, 'nats'), { recursive: true })
    await nats.restart()
    await ready(employee, 'phoenix')
  })
})
