// The operator API of the services: roles, lists, actions and their audit rows.
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { operatorTokens } from '../../plugins/operator/index.js'
import { until } from '../until.js'
import { type ServiceRig, serviceRig } from './rig.js'

const tokens = {
  read: 'read-token-of-the-tests',
  act: 'act-token-of-the-tests-',
  administer: 'administer-token-of-tests',
}
const OPERATOR_TOKEN = Object.entries(tokens)
  .map(([role, token]) => `${role}:${token}`)
  .join(',')
const environment = readEnvironment({
  OPERATOR_TOKEN,
  REQUIRED_SERVICES: 'identity',
  ADMIN_TOKEN: 'a-token-of-the-tests',
})

type Call = (
  method: 'GET' | 'POST',
  path: string,
  body?: object,
  headers?: Record<string, string>,
) => Promise<LightMyRequestResponse>

const caller =
  (app: FastifyInstance, role: keyof typeof tokens): Call =>
  (method, path, body, headers = {}) =>
    app.inject({
      method,
      url: `/api/operator${path}`,
      headers: { authorization: `Bearer ${tokens[role]}`, 'operator-name': encodeURIComponent('Ada Ö'), ...headers },
      ...(body && { payload: body }),
    })

let rig: ServiceRig
let identity: FastifyInstance
let employee: FastifyInstance
let read: Call
let act: Call
let administer: Call

t.before(async () => {
  rig = await serviceRig(t, ['identity', 'employee'])
  identity = await rig.service('identity', { nats: rig.servers.nats.url }, { environment })
  employee = await rig.service('employee', {}, { environment })
  read = caller(identity, 'read')
  act = caller(identity, 'act')
  administer = caller(identity, 'administer')
})

const code = (answer: LightMyRequestResponse) => [answer.statusCode, answer.json().code]

async function ready(...ids: string[]): Promise<void> {
  for (const id of ids) await administer('POST', '/fleet', { id, name: `Tenant ${id}` })
  for (const id of ids)
    await until(`${id} is ready`, async () => (await read('GET', `/fleet/${id}`)).json().status === 'ready')
}

t.test('a token has a role, and a header can lower it alone', async t => {
  t.same(operatorTokens(undefined).strongest, null)
  t.same(operatorTokens(`read:aaaaaaaaaaaaaaaa,administer:bbbbbbbbbbbbbbbb`).strongest, 'bbbbbbbbbbbbbbbb')
  const none = await identity.inject('/api/operator/overview')
  t.same(code(none), [401, 'UNAUTHENTICATED'])
  t.equal(none.headers['www-authenticate'], 'Bearer')
  for (const token of ['a-token-of-the-tests', 'read-token-of-the-test', `${tokens.read}x`]) {
    const answer = await identity.inject({ url: '/api/operator/fleet', headers: { authorization: `Bearer ${token}` } })
    t.same(code(answer), [401, 'UNAUTHENTICATED'], token)
  }
  t.equal((await read('GET', '/overview')).statusCode, 200)
  t.same(code(await read('POST', '/fleet', { name: 'No' })), [403, 'OPERATOR_FORBIDDEN'])
  t.same(code(await act('POST', '/fleet/acme/remove', { confirm: 'acme' })), [403, 'OPERATOR_FORBIDDEN'])
  for (const role of ['read', 'admin', '']) {
    const lowered = await administer('POST', '/fleet', { name: 'No' }, { 'operator-role': role })
    t.same(code(lowered), [403, 'OPERATOR_FORBIDDEN'], `lowered to ${role}`)
  }
  const raised = await act('POST', '/fleet/acme/remove', { confirm: 'acme' }, { 'operator-role': 'administer' })
  t.same(code(raised), [403, 'OPERATOR_FORBIDDEN'], 'a header raises nothing')
})

t.test('without OPERATOR_TOKEN every request is refused', async t => {
  const app = await rig.service('employee', {}, { environment: readEnvironment({}) })
  for (const authorization of ['Bearer ', 'Bearer undefined', `Bearer ${tokens.administer}`])
    t.equal((await app.inject({ url: '/api/operator/overview', headers: { authorization } })).statusCode, 401)
})

t.test('the list is searched, filtered, sorted and paged, and its changes are waited for', async t => {
  await ready('acme', 'globex', 'initech')
  const ids = async (query: string) =>
    (await read('GET', `/fleet?${query}`)).json().items.map(({ id }: { id: string }) => id)
  t.same(await ids(''), ['acme', 'globex', 'initech'])
  t.same(await ids('sort=name&order=desc'), ['initech', 'globex', 'acme'])
  t.same(await ids('q=GLOB'), ['globex'])
  for (const wildcard of ['%25', '_', '%5C']) t.same(await ids(`q=${wildcard}`), [], 'no wildcard of SQL')
  t.same(await ids('limit=1&offset=1'), ['globex'])
  const beyond = (await read('GET', '/fleet?offset=100')).json()
  t.same([beyond.items, beyond.total], [[], 3])
  await identity.central`update tenant_services set status = 'failed' where tenant_id = 'globex'`
  t.same(await ids('status=failed'), ['globex'])
  t.same(await ids('status=ready'), ['acme', 'initech'])
  t.same(await ids('status=failed&service=identity'), ['globex'])
  t.same(await ids('status=pending&service=core'), ['acme', 'globex', 'initech'], 'a service that has said nothing')
  t.same((await ids('sort=status')).at(0), 'globex')
  const [row] = (await read('GET', '/fleet?q=acme')).json().items
  t.match(row, { id: 'acme', status: 'ready', services: { identity: { status: 'ready' } } })
  t.notOk('settings' in row, 'settings stay out of lists')
  t.match((await read('GET', '/fleet/counts')).json(), { all: 3, ready: 2, failed: 1, services: ['identity'] })
  t.equal((await read('GET', '/fleet?status=wrong')).statusCode, 400)

  const { place } = (await read('GET', '/fleet/changes')).json()
  const waiting = read('GET', `/fleet/changes?after=${place}&wait=25`)
  await identity.tenants.suspend('initech', 'x')
  const changed = (await waiting).json()
  t.match(changed, { reset: false, items: [{ id: 'initech', lifecycle: 'suspended' }] })
  t.same((await read('GET', `/fleet/changes?after=${changed.place}&wait=0`)).json().items, [], 'each comes once')
  await identity.tenants.activate('initech', 'x')
})

t.test('a change comes once and none is missed while a long transaction runs', async t => {
  const long = rig.look('identity', 'identity_central')
  let release = (): void => {}
  const wait = new Promise<void>(resolve => {
    release = resolve
  })
  const since = async (place: string) => (await read('GET', `/fleet/changes?after=${place}&wait=0`)).json()
  const idsOf = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id).sort()
  const { place } = (await read('GET', '/fleet/changes')).json()
  let begun = (): void => {}
  const running = new Promise<void>(resolve => {
    begun = resolve
  })
  // As a copy of a large tenant does: it has an id, and every later transaction has a higher one.
  const held = long.begin(async tx => {
    await tx`update tenant_services set step = 'held', changed_by = pg_current_xact_id()::text::bigint where tenant_id = 'globex'`
    begun()
    await wait
  })
  await running
  await identity.tenants.suspend('initech', 'x')
  const first = await since(place)
  t.same(idsOf(first), ['initech'])
  t.same(idsOf(await since(first.place)), [], 'not again, though the other transaction still runs')
  await identity.tenants.suspend('acme', 'x')
  const second = await since(first.place)
  t.same(idsOf(second), ['acme'])
  t.same(idsOf(await since(place)), ['acme', 'initech'], 'from its place on it comes again')
  release()
  await held
  t.same(idsOf(await since(second.place)), ['globex'], 'what began before and ended after')
  await identity.tenants.activate('initech', 'x')
  await identity.tenants.activate('acme', 'x')
})

t.test('after too many changes, or at a place of elsewhere, the list is to be read anew', async t => {
  const since = async (place: string) => (await read('GET', `/fleet/changes?after=${place}&wait=0`)).json()
  const { place } = (await read('GET', '/fleet/changes')).json()
  // No tenants of these ids: their rows would be made.
  await identity.central`
    insert into tenant_services (tenant_id, service, status, version, revision, updated_at)
    select 'many-' || n, 'core', 'ready', 1, 1, now() from generate_series(1, 501) as n`
  const many = await since(place)
  t.match(many, { items: [], reset: true })
  t.match(await since(many.place), { items: [], reset: false }, 'and not twice')
  t.equal((await since('999999999999')).reset, true, 'a place ahead, of before a restore')
  for (const odd of ['1', '9:3:', '0:0:', '5:9:7,6', '5:9:4'])
    t.equal((await since(odd)).reset, true, `a place that no server has given: ${odd}`)
  t.equal((await read('GET', '/fleet/changes?after=x')).statusCode, 400)
  await identity.central`delete from tenant_services where tenant_id like 'many-%'`
})

t.test('each action is done and is an audit row with the operator’s name', async t => {
  t.match((await act('POST', '/fleet/acme/suspend')).json(), { id: 'acme', lifecycle: 'suspended' })
  t.match((await act('POST', '/fleet/acme/activate')).json(), { lifecycle: 'active' })
  t.equal((await act('POST', '/fleet/acme/retry')).statusCode, 200)
  t.same(code(await act('POST', '/fleet/nobody/retry')), [404, 'TENANT_NOT_FOUND'])
  t.same(code(await administer('POST', '/fleet/acme/remove', { confirm: 'ACME' })), [422, 'NOT_CONFIRMED'])
  t.equal((await administer('POST', '/fleet/acme/remove', { confirm: 'acme' })).statusCode, 204)
  t.match((await read('GET', '/fleet/acme')).json(), { lifecycle: 'deleted' }, 'a deleted one is shown')
  t.match((await administer('POST', '/fleet/acme/restore', {})).json(), { lifecycle: 'active' })
  const rows = await until('the rows are written', async () => {
    const found = await identity.central<{ actor: string; route: string; result: string }[]>`
      select actor, detail->>'route' as route, result from audit_log where kind = 'admin' and tenant_id = 'acme'
        and detail->>'route' like '/api/operator/%' order by at`
    return found.length >= 8 ? found : undefined
  })
  t.same(new Set(rows.map(({ actor }) => actor)), new Set(['Ada Ö']))
  const routes = new Set(rows.map(({ route }) => route.split('/').at(-1)))
  t.same(routes, new Set(['suspend', 'activate', 'retry', 'remove', 'restore']))
  t.ok(rows.some(({ result }) => result === '422') && rows.some(({ result }) => result === '403'), 'refusals too')
  // The same page opened often pushes no change out of the history.
  await identity.central`
    insert into audit_log (chain, seq, at, kind, result, tenant_id, actor, hash)
    select gen_random_uuid(), 1, now() + interval '1 second', 'admin', 'ok', 'acme', 'Eve', 'x' from generate_series(1, 40)`
  const history = await until('the change is moved into the log', async () => {
    const found = (await read('GET', '/tenants/acme')).json()
    return found.audit.some(({ kind }: { kind: string }) => kind === 'tenant') ? found : undefined
  })
  t.match(history.registry, { id: 'acme', provisioned: 'ready', instance: 'main' })
  t.ok(history.database.bytes > 0)
  t.ok(
    history.audit.some(({ kind, actor }: { kind: string; actor: string }) => kind === 'tenant' && actor === 'Ada Ö'),
    'the lifecycle names the operator',
  )
  t.notOk(JSON.stringify(history).includes('certificate'))
})

t.test('an action on a filter wants the number that was shown, and removal its words', async t => {
  const filter = { q: 'tenant' }
  const count = (await read('GET', '/fleet?q=tenant')).json().total
  t.equal(count, 3)
  t.same(code(await read('POST', '/fleet/bulk', { action: 'retry', filter, count })), [403, 'OPERATOR_FORBIDDEN'])
  t.same(code(await act('POST', '/fleet/bulk', { action: 'retry', filter, count: 2 })), [409, 'COUNT_CHANGED'])
  t.same((await act('POST', '/fleet/bulk', { action: 'suspend', filter, count })).json(), { done: 3, failed: [] })
  t.equal((await read('GET', '/fleet?lifecycle=suspended')).json().total, 3)
  t.same((await act('POST', '/fleet/bulk', { action: 'activate', filter, count })).json(), { done: 3, failed: [] })
  const remove = { action: 'remove', filter: { q: 'initech' }, count: 1 }
  t.same(code(await act('POST', '/fleet/bulk', { ...remove, confirm: 'remove 1' })), [403, 'OPERATOR_FORBIDDEN'])
  t.same(code(await administer('POST', '/fleet/bulk', remove)), [422, 'NOT_CONFIRMED'])
  t.same((await administer('POST', '/fleet/bulk', { ...remove, confirm: 'remove 1' })).json(), { done: 1, failed: [] })
  t.match((await read('GET', '/fleet/initech')).json(), { lifecycle: 'deleted' })
})

t.test('dead events are shown, replayed and dropped', async t => {
  const { central } = employee
  await central`
    insert into dead_events (subject, stream_created, stream_seq, reason, parked, data, headers) values
    ('tenant.created', now(), 1, 'no JSON', false, ${Buffer.from('{nope')}, '{}'),
    ('tenant.created', now(), 2, 'was faulty', false, ${Buffer.from('{"id":"umbrella","name":"Umbrella"}')}, '{}')`
  const readIt = caller(employee, 'read')
  const actIt = caller(employee, 'act')
  const [bad, good] = (await readIt('GET', '/dead')).json().items
  t.match(bad, { reason: 'no JSON', parked: false, resolution: null })
  t.match((await readIt('GET', `/dead/${bad.id}`)).json(), { body: '{nope', subject: 'tenant.created' })
  t.same((await actIt('POST', `/dead/${bad.id}/replay`)).json().ok, false)
  t.same((await actIt('POST', `/dead/${good.id}/replay`)).json(), { ok: true })
  t.same(code(await actIt('POST', `/dead/${good.id}/replay`)), [404, 'DEAD_EVENT_NOT_FOUND'])
  const finding = (await readIt('GET', '/overview')).json().findings
  t.match(
    finding.find(({ what }: { what: string }) => what === 'Events were set aside'),
    { severity: 'warn', about: '1 dead', cure: /Dead events/ },
  )
  const confirm = bad.id
  t.same(code(await actIt('POST', `/dead/${bad.id}/drop`, { confirm })), [403, 'OPERATOR_FORBIDDEN'])
  const administerIt = caller(employee, 'administer')
  for (const wrong of [{}, { confirm: good.id }])
    t.same(code(await administerIt('POST', `/dead/${bad.id}/drop`, wrong)), [422, 'NOT_CONFIRMED'])
  t.same((await administerIt('POST', `/dead/${bad.id}/drop`, { confirm })).json(), { ok: true })
  t.same((await readIt('GET', '/dead')).json().items, [])
  t.equal((await readIt('GET', '/dead?resolved=true')).json().items.length, 2)
  for (const id of ['x', '999999', '1e3']) t.equal((await readIt('GET', `/dead/${id}`)).statusCode, 404)
})

t.test('counts that do not come in time are a finding', async t => {
  const readIt = caller(employee, 'read')
  const found = async () => (await readIt('GET', '/overview')).json().findings.map(({ what }: { what: string }) => what)
  t.notOk((await found()).includes('The counts are not known'))
  await employee.central.begin(async sql => {
    await sql`lock table outbox`
    await until('it is a finding', async () => (await found()).includes('The counts are not known'))
  })
  await until('it is none any more', async () => !(await found()).includes('The counts are not known'))
})

t.test('a tenant’s rights that were taken are found and repaired', async t => {
  const readIt = caller(employee, 'read')
  await until('umbrella is ready', async () => (await employee.tenants.find('umbrella'))?.provisioned === 'ready')
  const sql = rig.look('employee')
  await sql.unsafe('alter role "tenant_umbrella_employee" nologin')
  const { items } = (await readIt('GET', '/findings')).json()
  t.match(
    items.find(({ tenant }: { tenant: string }) => tenant === 'umbrella'),
    { what: 'role closed', fixable: true, instance: 'main', cure: /Repair/ },
  )
  t.same(code(await readIt('POST', '/tenants/umbrella/repair')), [403, 'OPERATOR_FORBIDDEN'])
  const repaired = await caller(employee, 'act')('POST', '/tenants/umbrella/repair')
  t.same(repaired.json(), { tenant: 'umbrella', repaired: true })
  t.same((await readIt('GET', '/findings')).json().items, [])
  t.same(code(await caller(employee, 'act')('POST', '/tenants/nothing/repair')), [404, 'TENANT_NOT_FOUND'])
})

t.test('runs, instances and connections are shown', async t => {
  const readIt = caller(employee, 'read')
  const { central } = employee
  await central`insert into migration_runs (id, target, state) values ('20260101-abc', 4, 'stopped')`
  await central`
    insert into migration_run_tenants (run_id, tenant_id, from_version, state, error, ms) values
    ('20260101-abc', 'umbrella', 3, 'done', null, 12), ('20260101-abc', 'globex', 3, 'failed', 'duplicate column', 3)`
  const [run] = (await readIt('GET', '/runs')).json().items
  t.match(run, {
    kind: 'migrate',
    state: 'stopped',
    goal: 'version 4',
    counts: { done: 1, failed: 1 },
    resume: 'distributed-tenant migrate --service employee --resume 20260101-abc',
    rollback: 'distributed-tenant migrate --service employee --rollback 20260101-abc',
  })
  const tenants = (await readIt('GET', `/runs/${run.id}`)).json().items
  t.match(
    tenants,
    [
      { id: 'globex', error: 'duplicate column' },
      { id: 'umbrella', ms: 12 },
    ],
    'failed ones first',
  )
  const [main] = (await readIt('GET', '/instances')).json().items
  t.match(main, { name: 'main', reached: true, tenants: 1, drain: null })
  t.ok(main.bytes > 0 && main.maxConnections > 0 && main.databases >= 1)
  await employee.tenants.run('umbrella', async ({ sql }) => {
    await sql.begin(async tx => {
      await tx`select 1`
      const { now, holders } = (await readIt('GET', '/connections')).json()
      t.match([now.inUse, holders[0]], [1, { database: 'tenant_umbrella_employee', inUse: 1 }])
    })
  })
  const rows = (await readIt('GET', '/tenants?ids=umbrella,unknown')).json()
  t.match(rows.items, [{ id: 'umbrella', provisioned: 'ready', instance: 'main' }])
  t.equal(rows.items.length, 1)
  const samples = await until('a sample is taken', async () => {
    const taken = (await readIt('GET', '/connections')).json().samples
    return taken.length > 0 ? taken : undefined
  })
  t.match(samples[0], { at: Number, inUse: Number, waiting: Number, top: Array })
})

/** Takes a lock in a transaction that lasts. @returns how to end it */
async function lockedIn(sql: ReturnType<ServiceRig['look']>, statement: string): Promise<() => Promise<void>> {
  let release = (): void => {}
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  let ended: Promise<unknown> = released
  await new Promise<void>((locked, reject) => {
    ended = sql
      .begin(async tx => {
        await tx.unsafe(statement)
        locked()
        await released
      })
      .catch(reject)
  })
  return async () => {
    release()
    await ended
  }
}

t.test('a release with a new migration migrates its tenants, stops, goes on, and takes it back', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'operator-migrations-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync('services/identity/migrations/tenant', folder, { recursive: true })
  // A tenant whose database is held back by a lock is under way for as long as the test wants.
  writeFileSync(join(folder, '003.do.nickname.sql'), 'alter table users add column nickname text;')
  writeFileSync(join(folder, '003.undo.nickname.sql'), 'alter table users drop column nickname;')
  const ids = ['runs-a', 'runs-b', 'runs-c', 'runs-d', 'runs-e']
  await ready(...ids)
  const app = await rig.service('identity', { migrations: { tenant: folder } }, { environment })
  const [readIt, actIt, administerIt] = [caller(app, 'read'), caller(app, 'act'), caller(app, 'administer')]
  const runOf = async (id: string) =>
    (await readIt('GET', '/runs')).json().items.find((one: { id: string }) => one.id === id)
  const statesOf = async (id: string) =>
    (await readIt('GET', `/runs/${id}`)).json().items.map((one: { id: string; state: string }) => [one.id, one.state])
  const become = (id: string, state: string) =>
    until(`the run is ${state}`, async () => {
      const run = await runOf(id)
      return run.state === state ? run : undefined
    })

  t.same(code(await actIt('POST', '/runs', {})), [403, 'OPERATOR_FORBIDDEN'])
  t.same(code(await administerIt('POST', '/runs', { tenants: ['No!'] })), [400, 'TENANT_ID_INVALID'])
  t.same((await administerIt('POST', '/runs', { tenants: ['not-here'] })).json(), { run: null }, 'nothing is behind')
  t.same(code(await administerIt('POST', '/runs/20260101-none/resume')), [404, 'MIGRATION_RUN_NOT_FOUND'])
  t.same(code(await administerIt('POST', '/runs/20260101-none/stop')), [409, 'RUN_NOT_RUNNING'])

  const held = rig.look('identity', 'tenant_runs-a_identity')
  const release = await lockedIn(held, 'lock table users')
  const begun = await administerIt('POST', '/runs', { tenants: ids })
  t.equal(begun.statusCode, 202)
  const { id } = begun.json().run
  t.match(begun.json().run, { tenants: 5, target: 3 })
  t.match(await runOf(id), { kind: 'migrate', state: 'running', goal: 'version 3', counts: { pending: 5 } })
  t.same(code(await administerIt('POST', '/runs', {})), [409, 'MIGRATION_RUNNING'])
  t.same((await administerIt('POST', `/runs/${id}/stop`)).json(), { id, stopped: true })
  await release()
  await until('the tenant under way is done', async () =>
    (await statesOf(id)).some(([tenant, state]: string[]) => tenant === 'runs-a' && state === 'done'),
  )
  t.match(await runOf(id), { state: 'stopped', reason: 'stopped by Ada Ö', counts: { done: 1, pending: 4 } })
  await until('another may begin', async () => {
    const answer = await administerIt('POST', `/runs/${id}/resume`)
    return answer.statusCode === 202
  })
  t.match(await become(id, 'done'), { counts: { done: 5 } })
  t.same((await app.tenants.find('runs-e'))?.schemaVersion, 3)

  t.same(code(await administerIt('POST', `/runs/${id}/rollback`, { confirm: 'x' })), [422, 'NOT_CONFIRMED'])
  await until('it is taken back', async () => {
    const answer = await administerIt('POST', `/runs/${id}/rollback`, { confirm: id })
    return answer.statusCode === 202
  })
  t.match(await become(id, 'rolled_back'), { counts: { rolled_back: 5 } })
  t.same((await app.tenants.find('runs-e'))?.schemaVersion, 2)

  rmSync(join(folder, '003.undo.nickname.sql'))
  const without = await rig.service('identity', { migrations: { tenant: folder } }, { environment })
  const again = caller(without, 'administer')
  const second = (await again('POST', '/runs', { tenants: ['runs-a'] })).json().run
  await become(second.id, 'done')
  const refused = await until('the process has let its run go', async () => {
    const answer = await again('POST', `/runs/${second.id}/rollback`, { confirm: second.id })
    return answer.json().code === 'MIGRATION_RUNNING' ? undefined : answer
  })
  t.same(code(refused), [409, 'RUN_REFUSED'])
  t.match(refused.json().message, /has no undo file/)
  const rows = await until('the rows are written', async () => {
    const found = await app.central<{ run: string }[]>`
      select detail->>'run' as run from audit_log where kind = 'admin' and result = 'ok'
        and detail->>'route' like '/api/operator/runs/:run/%'`
    return found.length >= 3 ? found : undefined
  })
  t.same(new Set(rows.map(({ run }) => run)), new Set([id]), 'each is a row with its run')
})

t.test('a process that ends leaves its run to be gone on with', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'operator-migrations-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync('services/employee/migrations/tenant', folder, { recursive: true })
  const newest = readdirSync(folder)
    .map(name => Number(name.slice(0, 3)))
    .sort((a, b) => b - a)[0] as number
  writeFileSync(join(folder, `${String(newest + 1).padStart(3, '0')}.do.one.sql`), 'create table one_more (id int);')
  const app = await rig.service('employee', { migrations: { tenant: folder } }, { environment })
  const held = rig.look('employee', 'tenant_umbrella_employee')
  const release = await lockedIn(
    held,
    `select pg_advisory_xact_lock(hashtextextended('distributed_tenant.migrate', 0))`,
  )
  const { run } = (await caller(app, 'administer')('POST', '/runs', { tenants: ['umbrella'] })).json()
  const closing = app.close()
  await release()
  await closing
  const [row] = await employee.central`select state, reason from migration_runs where id = ${run.id}`
  t.ok(['stopped', 'done'].includes(row?.state), `${row?.state}: ${row?.reason}`)
  const [tenant] = await employee.central`select state from migration_run_tenants where run_id = ${run.id}`
  t.equal(tenant?.state, 'done', 'the tenant under way is recorded')
})

t.test('backups are shown with their newest archive', async t => {
  const readIt = caller(employee, 'read')
  const { central } = employee
  t.equal((await readIt('GET', '/tenants/umbrella')).json().backup, null)
  await central`
    insert into backup_runs (id, target, actor, started_at)
    values ('20260102-abc', '/backups/2026-01-02', 'ada@ship', now() - interval '1 minute')`
  await central`
    insert into backup_archives (run_id, tenant_id, state, bytes, error) values
    ('20260102-abc', 'umbrella', 'done', 4096, null), ('20260102-abc', null, 'running', null, null)`
  const run = (await readIt('GET', '/runs')).json().items.find(({ kind }: { kind: string }) => kind === 'backup')
  t.match(run, {
    id: '20260102-abc',
    goal: '/backups/2026-01-02',
    state: 'interrupted',
    reason: 'ada@ship',
    resume: null,
  })
  t.match(run.cure, /Its process is gone. Begin it again/)
  const finding = await until('it is a finding', async () =>
    (await readIt('GET', '/overview'))
      .json()
      .findings.find((one: { what: string }) => one.what === 'A run was interrupted'),
  )
  t.match(finding, { severity: 'warn', about: 'backup 20260102-abc', cure: run.cure })
  const reserved = await rig.look('employee', 'employee_central').reserve()
  await reserved`select pg_advisory_lock_shared(hashtextextended('distributed_tenant.run:20260102-abc', 0))`
  const listed = (await readIt('GET', '/runs')).json().items
  t.match(
    listed.find(({ kind }: { kind: string }) => kind === 'backup'),
    { state: 'running', cure: null },
    'while a process carries it out',
  )
  await reserved`select pg_advisory_unlock_shared(hashtextextended('distributed_tenant.run:20260102-abc', 0))`
  reserved.release()
  t.same(run.counts, { done: 1, running: 1 })
  const archives = (await readIt('GET', '/runs/20260102-abc')).json().items
  t.match(archives, [
    { id: null, state: 'running' },
    { id: 'umbrella', state: 'done', bytes: 4096 },
  ])
  t.match((await readIt('GET', '/tenants/umbrella')).json().backup, { target: '/backups/2026-01-02' })
})

t.test('every route is in the OpenAPI document, with its token', async t => {
  const { paths } = (await identity.inject('/api/docs/json')).json()
  const ours = Object.entries(paths).filter(([path]) => path.startsWith('/api/operator/'))
  t.ok(ours.length >= 20, `${ours.length} paths`)
  for (const [path, methods] of ours)
    for (const [method, { security, summary }] of Object.entries(
      methods as Record<string, { security?: object; summary?: string }>,
    ))
      t.same([security, typeof summary], [[{ operator: [] }], 'string'], `${method} ${path}`)
})

t.test('a waiting reader of changes does not hold up the close', async t => {
  const app = await rig.service('identity', {}, { environment })
  const waiting = caller(app, 'read')('GET', '/fleet/changes?wait=25')
  await until('it waits', () => app.inFlight() > 0)
  await app.close()
  t.equal((await waiting).statusCode, 200)
})
