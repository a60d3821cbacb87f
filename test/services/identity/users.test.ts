import t from 'tap'
import { as, asAdmin, nowhere, pages, serviceRig } from '../rig.js'

const ada = { email: 'Ada@example.com', displayName: 'Ada Lovelace' }

t.test('users', async t => {
  const { service } = await serviceRig(t, ['identity'])
  // In production tenants come by event; here one is made at once.
  const app = await service('identity', { source: false })
  let made = 0
  const tenant = async () => as(app, (await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })).id)

  await t.test('one is created, read, changed and deleted', async t => {
    const call = await tenant()
    const created = await call('POST', '/api/users', ada)
    t.equal(created.statusCode, 201, created.body)
    t.match(created.json(), { ...ada, role: 'member', status: 'active' })
    const url = created.headers.location as string
    t.same((await call('GET', url)).json(), created.json())
    t.match((await call('PATCH', url, { role: 'admin' })).json(), { ...ada, role: 'admin', status: 'active' })
    t.equal((await call('DELETE', url)).statusCode, 204)
    t.match((await call('GET', url)).json(), { statusCode: 404, code: 'USER_NOT_FOUND' })
    t.match((await call('PATCH', `/api/users/${nowhere}`, { role: 'admin' })).json(), { code: 'USER_NOT_FOUND' })
  })

  await t.test('an e-mail address is taken in any case', async t => {
    const call = await tenant()
    await call('POST', '/api/users', ada)
    const taken = await call('POST', '/api/users', { ...ada, email: 'ada@EXAMPLE.com' })
    t.match(taken.json(), { statusCode: 409, code: 'USER_EXISTS' })
    t.notMatch(taken.body, /ada@/i)
  })

  await t.test('a tenant sees nothing of another', async t => {
    const [mine, other] = [await tenant(), await tenant()]
    await mine('POST', '/api/users', ada)
    t.same((await other('GET', '/api/users')).json(), { items: [], next: null })
  })

  await t.test('pages hold each once, in the order of the address', async t => {
    const call = await tenant()
    for (const name of ['c', 'A', 'b']) await call('POST', '/api/users', { ...ada, email: `${name}@example.com` })
    const found = await pages(call, '/api/users', 2)
    t.same(
      found.map(items => items.map(({ email }) => email)),
      [['A@example.com', 'b@example.com'], ['c@example.com']],
    )
  })

  await t.test('a password is taken, changed, and never shown', async t => {
    const call = await tenant()
    const created = await call('POST', '/api/users', { ...ada, password: 'correct horse battery' })
    t.equal(created.statusCode, 201, created.body)
    const url = created.headers.location as string
    const changed = await call('PATCH', url, { password: 'another horse battery' })
    t.equal(changed.statusCode, 200, changed.body)
    for (const { body } of [created, changed, await call('GET', url), await call('GET', '/api/users')]) {
      t.notMatch(body, /horse|scrypt|password/i)
    }
    t.match((await call('PATCH', url, { password: 'short' })).json(), { statusCode: 400, code: 'REQUEST_INVALID' })
    t.match((await call('PATCH', `/api/users/${nowhere}`, { password: 'another horse battery' })).json(), {
      statusCode: 404,
      code: 'USER_NOT_FOUND',
    })
  })

  await t.test('the operator’s token is no tenant', async t => {
    const response = await app.inject({ url: '/api/users', headers: asAdmin })
    t.match(response.json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
  })
})
