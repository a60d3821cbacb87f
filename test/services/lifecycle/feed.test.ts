import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import { applyTenantState } from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import { barePublish } from '../../rig.js'
import { until } from '../../until.js'
import { admin, as, serviceRig } from '../rig.js'
import { reconcileSteps } from './steps.js'

const token = 'a-token-of-the-services'
const quick = { reconcileInterval: 150 }

/** Identity, with the rows of one tenant made unreadable while `garble.id` names it. */
async function between(t: Test, identity: string): Promise<{ url: string; garble: { id: string | null } }> {
  const garble: { id: string | null } = { id: null }
  const server = createServer(async ({ url = '/', headers: { authorization = '' } }, response) => {
    const answer = await fetch(identity + url, { headers: { authorization } })
    const body = (await answer.json()) as { items?: { id: string }[] }
    const items = body.items?.map(item => (item.id === garble.id ? { ...item, name: 7 } : item))
    response.writeHead(answer.status).end(JSON.stringify(items ? { ...body, items } : body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, garble }
}

t.test('without NATS and Redis', async t => {
  const { service, look } = await serviceRig(t, ['identity', 'employee'])
  const identity = await service('identity', quick, { serviceTokens: [token] })
  const url = await identity.listen({ port: 0, host: '127.0.0.1' })
  const operator = admin(identity)
  const steps = reconcileSteps(t)

  for (const id of ['a', 'b', 'c']) await operator('POST', '/api/tenants', { id, name: `Tenant ${id}` })
  await operator('POST', '/api/tenants/b/suspend')
  await operator('DELETE', '/api/tenants/c')

  const { url: seen, garble } = await between(t, url)
  const employee = await service('employee', { ...quick, identity: { url: seen, token } })
  const row = (id: string) => employee.tenants.find(id as never)

  await t.test('a service that joins late has every tenant, in its present state', async t => {
    for (const id of ['a', 'b']) await until(id, async () => (await row(id))?.provisioned === 'ready')
    t.match(await row('a'), { version: 1, name: 'Tenant a', lifecycle: 'active' })
    t.match(await row('b'), { version: 2, lifecycle: 'suspended' })
    t.match(await row('c'), { version: 2, lifecycle: 'deleted', provisioned: 'pending' })
    const made = await look('employee')`select datname from pg_database where datname like 'tenant\\_%' order by 1`
    t.same(
      made.map(({ datname }) => datname),
      ['tenant_a_employee', 'tenant_b_employee'],
    )
  })

  await t.test('a deletion that is undone reaches it, though no event could bring it', async t => {
    await operator('POST', '/api/tenants', { id: 'gone', name: 'Gone', domain: 'gone.example' })
    await until('ready', async () => (await row('gone'))?.provisioned === 'ready')
    t.equal((await operator('POST', '/api/tenants/gone/restore', {})).statusCode, 404, 'not deleted')
    await operator('DELETE', '/api/tenants/gone')
    await until('refused', async () => (await as(employee, 'gone')('GET', '/api/employees')).statusCode === 404)
    const forged = { id: 'gone', version: 99, name: 'Gone', is_active: true }
    t.equal(
      await applyTenantState(employee.central, { ...forged, id: parseTenantId('gone'), lifecycle: 'active' }),
      null,
    )
    await operator('POST', '/api/tenants', { id: 'other', name: 'Other', domain: 'gone.example' })
    const taken = await operator('POST', '/api/tenants/gone/restore', {})
    t.match(taken.json(), { statusCode: 409, code: 'TENANT_DOMAIN_TAKEN' })
    t.match((await row('gone'))?.lifecycle, 'deleted')
    const back = await operator('POST', '/api/tenants/gone/restore', { domain: null })
    t.match(back.json(), { lifecycle: 'active', version: 3, domain: null, deletedAt: null, purgeAfter: null })
    await until('served', async () => (await as(employee, 'gone')('GET', '/api/employees')).statusCode === 200)
    t.match(await row('gone'), { version: 3, lifecycle: 'active', deletedAt: null, purgeAfter: null })
    t.equal((await operator('POST', '/api/tenants', { id: 'gone', name: 'x' })).json().code, 'TENANT_ID_TAKEN')
  })

  await t.test('every change of identity’s reaches it', async t => {
    await operator('POST', '/api/tenants/a/suspend')
    const refused = () => as(employee, 'a')('GET', '/api/employees')
    await until('suspended', async () => (await refused()).json().code === 'TENANT_SUSPENDED')
    await operator('POST', '/api/tenants/a/activate')
    await operator('PATCH', '/api/tenants/a', { name: 'Renamed', settings: { plan: 'pro' } })
    await until('active', async () => (await refused()).statusCode === 200)
    await until('renamed', async () => (await row('a'))?.name === 'Renamed')
    t.match(await row('a'), { version: 4, settings: { plan: 'pro' } })
    await operator('POST', '/api/tenants', { id: 'd', name: 'Later' })
    await until('d', async () => (await row('d'))?.provisioned === 'ready')
  })

  await t.test('a row with other contents is corrected, whichever way its version went', async t => {
    const central = look('employee', 'employee_central')
    await central`update tenants set name = 'By hand' where id = 'a'`
    await central`update tenants set lifecycle = 'deleted', version = 9007199254740991 where id = 'b'`
    await until('a', async () => (await row('a'))?.name === 'Renamed')
    await until('b', async () => (await row('b'))?.lifecycle === 'suspended')
    t.match(await row('b'), { version: 2, provisioned: 'ready' })
    const forged = await until('both reported', () => {
      const seen = steps('employee').flatMap(event =>
        event.type === 'drift' && event.kind === 'forged' ? [event] : [],
      )
      return seen.length === 2 ? seen : null
    })
    t.match(
      forged.sort((one, other) => one.id.localeCompare(other.id)),
      [
        { id: 'a', action: 'overwritten' },
        { id: 'b', action: 'overwritten', detail: /9007199254740991.*identity has 2/ },
      ],
    )
  })

  await t.test('a tenant that identity does not know is reported once and left unchanged', async t => {
    const central = look('employee', 'employee_central')
    await central`
      insert into tenants (id, name, version, created_at) values ('unlisted', 'Unlisted', 3, now() - interval '1 hour')`
    await central`insert into tenants (id, name) values ('fresh', 'A request')`
    const seen = () => steps('employee').filter(event => event.type === 'drift' && event.kind === 'unknown_tenant')
    await until('the drift is reported', () => seen().length > 0)
    const passes = () => steps('employee').filter(event => event.type === 'pass' && event.everything).length
    const before = passes()
    await until('two more passes', () => passes() >= before + 2)
    t.match(seen(), [{ id: 'unlisted', action: 'reported' }])
    t.equal(seen().length, 1)
    t.match(await row('unlisted'), { version: 3 })
  })

  await t.test('an unreadable row is reported, blocks no other, and is not lost behind the cursor', async t => {
    garble.id = 'a'
    await operator('PATCH', '/api/tenants/a', { name: 'Unread' })
    await operator('PATCH', '/api/tenants/d', { name: 'Read' })
    await until('the other is read', async () => (await row('d'))?.name === 'Read')
    const unreadable = () =>
      steps('employee').filter(event => event.type === 'drift' && event.kind === 'unreadable' && event.id === 'a')
    await until('the row is reported', () => unreadable().length > 0)
    t.match(await row('a'), { name: 'Renamed', lifecycle: 'active', provisioned: 'ready' })
    t.match(unreadable(), [{ action: 'reported', detail: /\/name/ }], 'and once')
    t.same(
      steps('employee').filter(event => event.type === 'drift' && event.kind === 'unknown_tenant' && event.id === 'a'),
      [],
    )
    garble.id = null
    await until('the row is read', async () => (await row('a'))?.name === 'Unread')
  })

  await t.test('an unreachable identity is reported once, and nothing is forgotten', async t => {
    const other = await service('employee', { ...quick, identity: { url: 'http://127.0.0.1:1', token } })
    const gone = () => steps('employee').filter(event => event.type === 'identity_unreachable')
    await until('the loss is reported', () => gone().length > 0)
    t.match(gone()[0], { error: { code: 'IDENTITY_UNAVAILABLE', message: /ECONNREFUSED|bad port/ } })
    t.match(await other.tenants.find('a'), { provisioned: 'ready' })
    t.equal((await as(other, 'a')('GET', '/api/employees')).statusCode, 200)
    t.equal(gone().length, 1)
  })
})

t.test('with NATS, a forged deletion', async t => {
  const { service, look, servers } = await serviceRig(t, ['identity', 'employee'])
  const nats = servers.nats.url
  const identity = await service(
    'identity',
    { nats },
    { serviceTokens: [token], requiredServices: ['identity', 'employee'] },
  )
  const url = await identity.listen({ port: 0, host: '127.0.0.1' })
  const employee = await service('employee', { nats, identity: { url, token }, reconcileInterval: 3_000 })
  const steps = reconcileSteps(t)
  const call = as(employee, 'acme')
  const made = await admin(identity, { prefer: 'wait=60' })('POST', '/api/tenants', { id: 'acme', name: 'Acme' })
  t.equal(made.statusCode, 201, made.body)
  const ada = { employeeNumber: 'E-1', firstName: 'Ada', lastName: 'L', email: 'a@b.example', hiredOn: '2026-01-05' }
  t.equal((await call('POST', '/api/employees', ada)).statusCode, 201)

  await barePublish(servers.nats, 'tenant.deleted', '{"id":"acme","version":99,"name":"Acme","is_active":false}')
  await until('refused', async () => (await call('GET', '/api/employees')).statusCode === 404)
  await until('served again', async () => (await call('GET', '/api/employees')).statusCode === 200)
  t.match((await call('GET', '/api/employees')).json().items, [{ employeeNumber: 'E-1' }], 'nothing was lost')
  t.match(await employee.tenants.find('acme'), { version: 1, lifecycle: 'active', deletedAt: null })
  t.match(
    steps('employee').filter(event => event.type === 'drift'),
    [{ kind: 'forged', id: 'acme', action: 'overwritten' }],
  )
  t.match(await identity.tenants.find('acme'), { version: 1, lifecycle: 'active' }, 'the source is unchanged')
  const [row] = await look('employee')`select 1 from pg_database where datname = 'tenant_acme_employee'`
  t.ok(row)
})

t.test('with NATS, an event that the feed contradicts stands until the feed is read next', async t => {
  const { service, servers, look } = await serviceRig(t, ['identity', 'employee'])
  const nats = servers.nats.url
  const identity = await service(
    'identity',
    { nats },
    { serviceTokens: [token], requiredServices: ['identity', 'employee'] },
  )
  const url = await identity.listen({ port: 0, host: '127.0.0.1' })
  const employee = await service('employee', { nats, identity: { url, token }, reconcileInterval: 2_000 })
  const steps = reconcileSteps(t)
  const call = as(employee, 'acme')
  const made = await admin(identity, { prefer: 'wait=60' })('POST', '/api/tenants', { id: 'acme', name: 'Acme' })
  t.equal(made.statusCode, 201, made.body)
  const passes = () => steps('employee').filter(event => event.type === 'pass')
  /** Just after a full comparison: the next readings are of changes only. */
  const afterEverything = async () => {
    const before = passes().length
    await until('everything compared', () =>
      passes()
        .slice(before)
        .some(event => event.everything),
    )
    return passes().length
  }

  await t.test('a creation of another version than 1 is a dead letter', async t => {
    const forged = '{"id":"acme","version":1000000,"name":"Forged","is_active":false}'
    await barePublish(servers.nats, 'tenant.created', forged)
    const central = look('employee', 'employee_central')
    const reasons = await until('buried', async () => {
      const rows = await central<{ reason: string }[]>`select reason from dead_events`
      return rows.length > 0 && rows.map(({ reason }) => reason)
    })
    t.match(reasons, [/version 1000000 is not a creation/])
    t.equal((await call('GET', '/api/employees')).statusCode, 200)
    t.match(await employee.tenants.find('acme'), { version: 1, lifecycle: 'active' })
  })

  for (const kind of ['suspended', 'deleted', 'updated']) {
    await t.test(`tenant.${kind}`, async t => {
      const before = await afterEverything()
      await barePublish(servers.nats, `tenant.${kind}`, '{"id":"acme","version":99,"name":"Forged","is_active":false}')
      await until('applied', async () => (await employee.tenants.find('acme'))?.name === 'Forged')
      const applied = passes().length
      await until('put back', async () => (await employee.tenants.find('acme'))?.name === 'Acme')
      t.match(await employee.tenants.find('acme'), { version: 1, lifecycle: 'active' })
      // One pass may have been running when the event arrived.
      t.ok(passes().length - applied <= 2, `${passes().length - applied} readings`)
      t.notOk(
        passes()
          .slice(before, passes().length)
          .some(event => event.everything),
        'no full comparison was needed',
      )
      await until('the correction is reported', () =>
        steps('employee').some(event => event.type === 'drift' && event.kind === 'forged' && event.id === 'acme'),
      )
    })
  }

  await t.test('a first version of a tenant that identity does not know is a request', async t => {
    const forged = '{"id":"unregistered","version":1,"name":"Forged","domain":"acme.example","is_active":true}'
    await barePublish(servers.nats, 'tenant.created', forged)
    await until('seen', async () => (await employee.tenants.find('unregistered')) !== null)
    await until('not confirmed', async () => (await employee.tenants.find('unregistered'))?.version === 0)
    t.match(
      steps('employee').filter(event => event.type === 'drift' && event.id === 'unregistered'),
      [{ kind: 'forged', action: 'overwritten', detail: /identity does not know it/ }],
    )
  })

  await t.test('an event about another tenant of the id changes nothing, and the feed is asked at once', async t => {
    await until('learned', async () => (await employee.tenants.find('acme'))?.incarnation)
    const forged = { id: 'acme', version: 100, name: 'Forged', is_active: false, incarnation: 'f'.repeat(32) }
    await barePublish(servers.nats, 'tenant.suspended', JSON.stringify(forged))
    await barePublish(servers.nats, 'tenant.created', '{"id":"marker","name":"Marker"}')
    await until('behind it', async () => (await employee.tenants.find('marker')) !== null)
    t.match(await employee.tenants.find('acme'), { version: 1, lifecycle: 'active', name: 'Acme' })
    t.equal((await call('GET', '/api/employees')).statusCode, 200)
  })

  await t.test('a bare event still makes a tenant, which gets its incarnation once', async t => {
    await barePublish(servers.nats, 'tenant.created', '{"id":"bare","name":"Bare"}')
    const row = await until('ready and confirmed', async () => {
      const row = await employee.tenants.find('bare')
      return row?.provisioned === 'ready' && row.incarnation !== null && row
    })
    t.match(row, { version: 1, lifecycle: 'active' })
    t.equal((await identity.tenants.find('bare'))?.incarnation, (row as { incarnation: string }).incarnation)
    t.equal((await as(employee, 'bare')('GET', '/api/employees')).statusCode, 200)
  })
})
