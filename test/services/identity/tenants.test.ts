import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../../until.js'
import { admin, as, asAdmin, serviceRig } from '../rig.js'

t.test('the tenants of an identity service without subscribers', async t => {
  const { service } = await serviceRig(t, ['identity'])
  const app = await service('identity', {}, { requiredServices: ['identity', 'employee'] })
  const call = admin(app)

  await t.test('one is accepted with its location and the pending services', async t => {
    const response = await call('POST', '/api/tenants', {
      name: 'Acme Corporation',
      domain: 'acme.hrms.local',
      settings: { plan: 'pro', limits: { seats: 5 } },
    })
    t.equal(response.statusCode, 202, response.body)
    const tenant = response.json()
    t.match(tenant, {
      id: /^acme-corporation-[0-9a-f]{6}$/,
      name: 'Acme Corporation',
      domain: 'acme.hrms.local',
      settings: { plan: 'pro', limits: { seats: 5 } },
      lifecycle: 'active',
      version: 1,
      status: 'pending',
      services: { identity: { status: 'pending', attempts: 0, lastError: null }, employee: { status: 'pending' } },
      createdAt: /Z$/,
      updatedAt: /Z$/,
    })
    t.equal(response.headers.location, `/api/tenants/${tenant.id}`)
    t.same((await call('GET', response.headers.location as string)).json(), tenant)
  })

  await t.test('a client whose wait ends without a ready tenant gets 202 after that time', async t => {
    const begun = performance.now()
    const response = await admin(app, { prefer: 'wait=1' })('POST', '/api/tenants', { name: 'Slow' })
    t.equal(response.statusCode, 202)
    t.equal(response.headers['preference-applied'], 'wait=1')
    t.ok(performance.now() - begun > 900)
  })

  await t.test('a client that does not wait is answered at once', async t => {
    const response = await admin(app, { prefer: 'respond-async' })('POST', '/api/tenants', { name: 'Quick' })
    t.equal(response.statusCode, 202)
    t.equal(response.headers['preference-applied'], 'respond-async')
  })

  await t.test('one can be created suspended', async t => {
    const made = await call('POST', '/api/tenants', { id: 'early', name: 'Early', lifecycle: 'suspended' })
    t.match(made.json(), { lifecycle: 'suspended', version: 1, status: 'pending' })
    t.match((await call('POST', '/api/tenants/early/activate')).json(), { lifecycle: 'active', version: 2 })
    t.equal((await call('POST', '/api/tenants', { name: 'Never', lifecycle: 'deleted' })).statusCode, 400)
  })

  await t.test('a taken id or domain is 409, also in a change', async t => {
    await call('POST', '/api/tenants', { id: 'taken', name: 'Taken', domain: 'taken.example.com' })
    const id = await call('POST', '/api/tenants', { id: 'taken', name: 'Other' })
    t.match(id.json(), { statusCode: 409, code: 'TENANT_ID_TAKEN' })
    const domain = await call('POST', '/api/tenants', { name: 'Other', domain: 'taken.example.com' })
    t.match(domain.json(), { statusCode: 409, code: 'TENANT_DOMAIN_TAKEN' })
    await call('POST', '/api/tenants', { id: 'other', name: 'Other' })
    const changed = await call('PATCH', '/api/tenants/other', { domain: 'taken.example.com' })
    t.match(changed.json(), { statusCode: 409, code: 'TENANT_DOMAIN_TAKEN' })
  })

  await t.test('of many simultaneous requests for one domain one gets it', async t => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        call('POST', '/api/tenants', { name: `Race ${n}`, domain: 'race.example.com' }),
      ),
    )
    t.equal(answers.filter(({ statusCode }) => statusCode === 202).length, 1)
    t.equal(answers.filter(({ statusCode }) => statusCode === 409).length, 9)
  })

  await t.test('a bad id is refused with its own code', async t => {
    for (const id of ['ACME', 'a--b', '-a', 'a_b', 'é', '', 'a'.repeat(41), "a'; drop table tenants;--"]) {
      t.match((await call('POST', '/api/tenants', { id, name: 'x' })).json(), {
        statusCode: 400,
        code: 'TENANT_ID_INVALID',
      })
      const url = `/api/tenants/${encodeURIComponent(id)}`
      if (id) t.match((await call('GET', url)).json(), { statusCode: 400, code: 'TENANT_ID_INVALID' }, id)
    }
    const reserved = await call('POST', '/api/tenants', { id: 'postgres', name: 'x' })
    t.match(reserved.json(), { statusCode: 422, code: 'TENANT_ID_RESERVED' })
  })

  await t.test('a body that breaks its schema is 400', async t => {
    const bad: object[] = [
      {},
      { name: '' },
      { name: 'x', domain: 'localhost' },
      { name: 'x', domain: 'ACME.example.com' },
      { name: 'x', domain: '10.0.0.1' },
      { name: 'x', domain: 'acme..example.com' },
      { name: 'x', settings: [] },
      { name: 'x', settings: 'pro' },
      { name: 'x', plan: 'pro' },
      { name: 'x', version: 7 },
    ]
    for (const body of bad) t.equal((await call('POST', '/api/tenants', body)).statusCode, 400, JSON.stringify(body))
  })

  await t.test('settings that no event could carry are refused', async t => {
    const large = await call('POST', '/api/tenants', { name: 'x', settings: { text: 'a'.repeat(70_000) } })
    t.match(large.json(), { statusCode: 413, code: 'SETTINGS_TOO_LARGE' })
    for (const text of ['a\0b', '\ud800']) {
      const broken = await call('POST', '/api/tenants', { name: 'x', settings: { deep: [{ text }] } })
      t.match(broken.json(), { statusCode: 400, code: 'SETTINGS_INVALID' })
    }
    const raw = (method: 'POST' | 'PATCH', url: string, settings: string) =>
      app.inject({
        method,
        url,
        headers: { ...asAdmin, 'content-type': 'application/json' },
        payload: `{"name":"x","settings":${settings}}`,
      })
    await call('POST', '/api/tenants', { id: 'holds', name: 'Holds' })
    const nested = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
    for (const settings of ['{"a":1e999}', '{"a":[-1e999]}', ...[31, 3_000, 15_000].map(nested)]) {
      for (const [method, url] of [
        ['POST', '/api/tenants'],
        ['PATCH', '/api/tenants/holds'],
      ] as const) {
        const refused = await raw(method, url, settings)
        t.match(refused.json(), { statusCode: 400, code: 'SETTINGS_INVALID' }, settings.slice(0, 50))
      }
    }
    t.equal((await raw('POST', '/api/tenants', nested(30))).statusCode, 202)
    t.match((await call('GET', '/api/tenants/holds')).json(), { settings: {}, version: 1 })
  })

  await t.test('a change affects the named fields and raises the version', async t => {
    await call('POST', '/api/tenants', { id: 'changing', name: 'Before', domain: 'changing.example.com' })
    const renamed = await call('PATCH', '/api/tenants/changing', { name: 'After' })
    t.match(renamed.json(), { name: 'After', domain: 'changing.example.com', version: 2 })
    t.match((await call('PATCH', '/api/tenants/changing', { domain: null })).json(), { domain: null, version: 3 })
    t.equal((await call('PATCH', '/api/tenants/changing', {})).statusCode, 400)
    t.equal((await call('PATCH', '/api/tenants/changing', { lifecycle: 'deleted' })).statusCode, 400)
  })

  await t.test('one is suspended, activated and deleted', async t => {
    await call('POST', '/api/tenants', { id: 'living', name: 'Living', domain: 'living.example.com' })
    t.match((await call('POST', '/api/tenants/living/suspend')).json(), { lifecycle: 'suspended', version: 2 })
    t.match((await call('POST', '/api/tenants/living/activate')).json(), { lifecycle: 'active', version: 3 })
    t.equal((await call('DELETE', '/api/tenants/living')).statusCode, 204)
    t.match((await call('GET', '/api/tenants/living')).json(), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
    t.equal((await call('DELETE', '/api/tenants/living')).statusCode, 404)
    const again = await call('POST', '/api/tenants', { id: 'living', name: 'Again' })
    t.match(again.json(), { statusCode: 409, code: 'TENANT_ID_TAKEN' }, 'its id is never reused')
    const freed = await call('POST', '/api/tenants', { name: 'New', domain: 'living.example.com' })
    t.equal(freed.statusCode, 202, 'its domain is free again')
  })

  await t.test('a deleted one is returned by its id, with the time when its databases may be dropped', async t => {
    const gone = (await call('GET', '/api/tenants/living?lifecycle=deleted')).json()
    t.match(gone, { lifecycle: 'deleted', version: 4 })
    t.equal(Date.parse(gone.purgeAfter) - Date.parse(gone.deletedAt) > 29 * 86_400_000, true)
    t.match((await call('GET', '/api/tenants/taken?lifecycle=deleted')).json(), { deletedAt: null, purgeAfter: null })
  })

  await t.test('a retry raises the version and changes nothing else', async t => {
    const before = (await call('POST', '/api/tenants', { id: 'again', name: 'Again', settings: { a: 1 } })).json()
    const response = await call('POST', '/api/tenants/again/retry')
    t.equal(response.statusCode, 202)
    t.same(response.json(), { ...before, version: 2, updatedAt: response.json().updatedAt })
    t.match((await call('POST', '/api/tenants/living/retry')).json(), { code: 'TENANT_NOT_FOUND' }, 'not a deleted one')
  })

  await t.test('an unknown id is 404 everywhere', async t => {
    const answers = [
      await call('GET', '/api/tenants/unknown'),
      await call('PATCH', '/api/tenants/unknown', { name: 'x' }),
      await call('DELETE', '/api/tenants/unknown'),
      await call('POST', '/api/tenants/unknown/suspend'),
      await call('POST', '/api/tenants/unknown/activate'),
      await call('POST', '/api/tenants/unknown/retry'),
    ]
    for (const response of answers) t.match(response.json(), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
  })

  await t.test('pages hold each once, by id, and can be narrowed', async t => {
    await call('POST', '/api/tenants', { id: 'zz-1', name: 'x' })
    await call('POST', '/api/tenants', { id: 'zz-2', name: 'x' })
    await call('POST', '/api/tenants/zz-2/suspend')
    const ids: string[] = []
    let after = ''
    do {
      const page = (await call('GET', `/api/tenants?limit=3${after && `&after=${after}`}`)).json()
      for (const { id, services } of page.items) {
        ids.push(id)
        t.same(Object.keys(services).sort(), ['employee', 'identity'])
      }
      after = page.next ?? ''
    } while (after)
    t.same(ids, [...new Set(ids)].sort())
    t.notOk(ids.includes('living'), 'a deleted one is not listed')
    t.ok(ids.includes('zz-1') && ids.includes('zz-2'))
    const suspended = (await call('GET', '/api/tenants?lifecycle=suspended')).json()
    t.same(
      suspended.items.map(({ id }: { id: string }) => id),
      ['zz-2'],
    )
  })

  await t.test('without the operator’s token every answer is a refusal', async t => {
    for (const authorization of [undefined, 'Bearer wrong', `Basic ${asAdmin.authorization}`]) {
      const headers = authorization === undefined ? {} : { authorization }
      for (const url of ['/api/tenants', '/api/tenants/taken', '/api/tenants/unknown', '/api/tenants/BAD']) {
        const response = await app.inject({ url, headers })
        t.match(response.json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
        t.match(response.headers['www-authenticate'], /^Bearer/)
      }
    }
  })

  await t.test('a waiting client is answered when the service is closed', async t => {
    const closing = await service('identity', {}, { requiredServices: ['employee'] })
    const url = await closing.listen({ port: 0 })
    const waiting = fetch(`${url}/api/tenants`, {
      method: 'POST',
      headers: { ...asAdmin, prefer: 'wait=60', connection: 'close', 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'waiting', name: 'Waiting' }),
    })
    while (!(await app.tenants.find('waiting'))) await sleep(20)
    await sleep(50)
    await closing.close()
    t.equal((await waiting).status, 202)
  })
})

t.test('tenants become ready by event', async t => {
  const { service, servers } = await serviceRig(t, ['identity', 'employee'])
  const nats = servers.nats.url
  const required = ['identity', 'employee']
  const identity = await service('identity', { nats }, { requiredServices: required })
  const employee = await service('employee', { nats })

  await t.test('a waiting client gets 201 once every service is ready, and uses it', async t => {
    const response = await admin(identity, { prefer: 'wait=60' })('POST', '/api/tenants', { id: 'acme', name: 'Acme' })
    t.equal(response.statusCode, 201, response.body)
    t.match(response.json(), {
      status: 'ready',
      services: {
        identity: { status: 'ready', lastError: null, readyAt: /Z$/ },
        employee: { status: 'ready', lastError: null, readyAt: /Z$/ },
      },
    })
    const ada = {
      employeeNumber: '1',
      firstName: 'Ada',
      lastName: 'L',
      email: 'ada@example.com',
      hiredOn: '2024-05-01',
    }
    t.equal((await as(employee, 'acme')('POST', '/api/employees', ada)).statusCode, 201)
    const user = { email: 'ada@example.com', displayName: 'Ada' }
    t.equal((await as(identity, 'acme')('POST', '/api/users', user)).statusCode, 201)
  })

  await t.test('without waiting the location soon answers the same', async t => {
    const call = admin(identity)
    const response = await call('POST', '/api/tenants', { id: 'globex', name: 'Globex' })
    t.equal(response.statusCode, 202)
    await until('it is ready', async () => {
      const tenant = (await call('GET', response.headers.location as string)).json()
      return tenant.status === 'ready'
    })
  })
})
