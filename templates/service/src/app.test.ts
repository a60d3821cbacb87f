// The routes, on databases of this test's own. It finds a PostgreSQL by itself, or uses TEST_DATABASE_URL.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { startTestTenancy, type TestTenancy } from 'fastify-distributed-tenant/testing'
import { buildApp, migrations } from './app.js'

let tenancy: TestTenancy
let app: FastifyInstance

before(async () => {
  tenancy = await startTestTenancy({ service: 'billing', migrations })
  app = await buildApp({ access: tenancy.tokens, tenancy: tenancy.options })
})

after(async () => {
  await app?.close()
  await tenancy?.close()
})

test('an item is added, read, changed and deleted, and another tenant does not see it', async () => {
  const [acme, globex] = await Promise.all([tenancy.createTenant(), tenancy.createTenant()])
  const user = acme.user()
  const added = await user.inject(app, { method: 'POST', url: '/api/items', payload: { name: 'pen' } })
  assert.equal(added.statusCode, 201)
  const item = added.json()
  assert.deepEqual(item, { id: item.id, name: 'pen', quantity: 0 })
  const url = `/api/items/${item.id}`

  const changed = await user.inject(app, { method: 'PUT', url, payload: { name: 'pen', quantity: 5 } })
  assert.deepEqual(changed.json(), { ...item, quantity: 5 })
  assert.deepEqual((await user.inject(app, '/api/items')).json(), [changed.json()])
  assert.deepEqual((await globex.user().inject(app, '/api/items')).json(), [])

  assert.equal((await user.inject(app, { method: 'DELETE', url })).statusCode, 204)
  assert.equal((await user.inject(app, url)).json().code, 'ITEM_NOT_FOUND')
})

test('a name that is taken is 409, a body that breaks its schema 400', async () => {
  const user = (await tenancy.createTenant()).user()
  const post = (payload: object) => user.inject(app, { method: 'POST', url: '/api/items', payload })
  assert.equal((await post({ name: 'pen' })).statusCode, 201)
  assert.equal((await post({ name: 'pen' })).json().code, 'ALREADY_EXISTS')
  assert.equal((await post({ quantity: -1 })).json().code, 'REQUEST_INVALID')
})

test('a request without a token is 401, and one of another tenant 403', async () => {
  const [acme, globex] = await Promise.all([tenancy.createTenant(), tenancy.createTenant()])
  const url = '/api/items'
  assert.equal((await app.inject({ url, headers: { 'hrms-client-id': acme.id } })).statusCode, 401)
  const other = { authorization: globex.user().headers.authorization ?? '', 'hrms-client-id': acme.id }
  assert.equal((await app.inject({ url, headers: other })).json().code, 'TENANT_FORBIDDEN')
})
