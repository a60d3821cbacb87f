import t from 'tap'
import { admin, serviceRig } from '../rig.js'

t.test('a creation with an Idempotency-Key', async t => {
  const { service, look } = await serviceRig(t, ['identity'])
  const app = await service('identity')
  const central = look('identity', 'identity_central')
  const create = (key: string, body: object) => admin(app, { 'idempotency-key': key })('POST', '/api/tenants', body)
  const eventsOf = async (id: string) =>
    (await central`select 1 from outbox where tenant_id = ${id} and subject = 'tenant.created'`).length

  await t.test('sent again with the same body is answered with the same tenant, made once', async t => {
    const first = await create('key-1', { name: 'Acme', settings: { a: 1, b: { c: 2 } } })
    const again = await create('key-1', { settings: { b: { c: 2 }, a: 1 }, name: 'Acme' })
    t.equal(first.statusCode, 202, first.body)
    t.equal(again.statusCode, 202, again.body)
    t.same(again.json(), first.json())
    t.equal(again.headers.location, first.headers.location)
    t.equal(await eventsOf(first.json().id), 1)
  })

  await t.test('sent again with another body is a 409 and makes nothing', async t => {
    const refused = await create('key-1', { name: 'Other' })
    t.match(refused.json(), { statusCode: 409, code: 'IDEMPOTENCY_MISMATCH' })
    t.same(await central`select 1 from tenants where name = 'Other'`, [])
  })

  await t.test('sent twenty times at once makes one tenant', async t => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => create('key-2', { name: 'Crowd' })))
    const ids = new Set(answers.map(answer => answer.json().id))
    t.same(new Set(answers.map(({ statusCode }) => statusCode)), new Set([202]))
    t.equal(ids.size, 1)
    t.equal((await central`select 1 from tenants where name = 'Crowd'`).length, 1)
    t.equal(await eventsOf([...ids][0]), 1)
  })

  await t.test('that was refused leaves no key stored', async t => {
    const taken = await create('key-3', { id: 'taken', name: 'Taken' })
    t.equal(taken.statusCode, 202)
    t.match((await create('key-4', { id: 'taken', name: 'Again' })).json(), { code: 'TENANT_ID_TAKEN' })
    t.equal((await create('key-4', { id: 'free', name: 'Again' })).statusCode, 202)
  })

  await t.test('is known to the other replica', async t => {
    const replica = await service('identity')
    const first = await create('key-5', { name: 'Two' })
    const again = await admin(replica, { 'idempotency-key': 'key-5' })('POST', '/api/tenants', { name: 'Two' })
    t.equal(again.json().id, first.json().id)
  })

  await t.test('with an invalid key is a 400', async t => {
    for (const key of ['', 'a b', 'é', 'x'.repeat(256)]) {
      t.match((await create(key, { name: 'x' })).json(), { statusCode: 400, code: 'IDEMPOTENCY_KEY_INVALID' }, key)
    }
  })

  await t.test('on other routes has no effect', async t => {
    const call = admin(app, { 'idempotency-key': 'key-6' })
    t.equal((await call('PATCH', '/api/tenants/free', { name: 'Free' })).statusCode, 200)
    t.equal((await call('POST', '/api/tenants/free/suspend')).statusCode, 200)
    t.equal((await call('POST', '/api/tenants/free/suspend')).statusCode, 200)
  })
})
