import t from 'tap'
import { createPasswords } from '../../../services/identity/passwords.js'
import { until } from '../../until.js'
import { admin, as, serviceRig } from '../rig.js'

const cheap = { ln: 4, r: 8, p: 1 }
const ada = { email: 'Ada@example.com', password: 'correct horse battery' }

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

t.test('the first user of a tenant', async t => {
  const { service, servers, look } = await serviceRig(t, ['identity'])
  const options = { requiredServices: ['identity'], passwordCost: cheap }
  const app = await service('identity', { nats: servers.nats.url }, options)
  const call = admin(app)
  const waiting = async () => (await look('identity', 'identity_central')`select tenant_id from first_users`).length
  const login = (tenant: string, password = ada.password) =>
    as(app, tenant)('POST', '/api/login', { email: ada.email, password })

  await t.test('may sign in as soon as a waiting creation is answered', async t => {
    const made = await admin(app, { prefer: 'wait=60' })('POST', '/api/tenants', {
      id: 'acme',
      name: 'Acme',
      admin: ada,
    })
    t.equal(made.statusCode, 201, made.body)
    t.notMatch(made.body, /ada|horse/i)
    t.same(claimsOf((await login('acme')).json().token).roles, ['admin'])
    t.equal(await waiting(), 0)
  })

  await t.test('is created by itself when no client waits', async t => {
    await call('POST', '/api/tenants', { id: 'later', name: 'Later', admin: ada })
    // Not by trying to sign in: after ten failures in a minute every login is refused.
    await until('the first user is created', async () => (await waiting()) === 0)
    t.match(claimsOf((await login('later')).json().token), { tenant: 'later' })
  })

  await t.test('is not created when the tenant was refused: a taken id gets no second admin', async t => {
    const evil = { email: 'eve@example.com', password: 'eve was here all along' }
    const taken = await call('POST', '/api/tenants', { id: 'acme', name: 'Acme', admin: evil })
    t.match(taken.json(), { statusCode: 409, code: 'TENANT_ID_TAKEN' })
    t.equal(await waiting(), 0)
    const refused = await call('POST', '/api/tenants', {
      id: 'new',
      name: 'New',
      admin: { ...evil, password: 'short' },
    })
    t.match(refused.json(), { statusCode: 400, code: 'REQUEST_INVALID' })
    t.notMatch(refused.body, /eve|short/)
    t.equal((await call('GET', '/api/tenants/new')).statusCode, 404)
  })

  await t.test('is in no event, no outbox row and no registry row', async t => {
    const sql = look('identity', 'identity_central')
    for (const table of ['outbox', 'tenants', 'tenant_services']) {
      const rows = await sql`select to_jsonb(one)::text as text from ${sql(table)} one`
      t.ok(rows.length > 0, table)
      for (const { text } of rows) t.notMatch(text, /ada@|horse|scrypt/i)
    }
  })

  await t.test('is made by the operator where there is none, once', async t => {
    await admin(app, { prefer: 'wait=60' })('POST', '/api/tenants', { id: 'bare', name: 'Bare' })
    const made = await call('POST', '/api/tenants/bare/users', ada)
    t.equal(made.statusCode, 201, made.body)
    t.match(made.json(), { email: ada.email, role: 'admin', status: 'active' })
    t.equal((await login('bare')).statusCode, 200)
    t.match((await call('POST', '/api/tenants/bare/users', ada)).json(), { statusCode: 409, code: 'USER_EXISTS' })
    t.match((await call('POST', '/api/tenants/unknown/users', ada)).json(), {
      statusCode: 404,
      code: 'TENANT_NOT_FOUND',
    })
    t.match((await call('POST', '/api/tenants/BARE/users', ada)).json(), {
      statusCode: 400,
      code: 'TENANT_ID_INVALID',
    })
    const anonymous = await app.inject({ method: 'POST', url: '/api/tenants/bare/users', payload: ada })
    t.match(anonymous.json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
  })

  await t.test('is made once though it is tried again after a crash between making and forgetting', async t => {
    const sql = look('identity', 'identity_central')
    const hash = await createPasswords(cheap).hash('another password here', { address: 'test', tenant: null })
    await sql`insert into first_users (tenant_id, email, display_name, password_hash)
      values ('acme', ${ada.email}, 'Ada', ${hash}), ('never-was', 'x@example.com', 'X', ${hash})`
    await until('both are forgotten', async () => (await waiting()) === 0)
    t.equal((await login('acme')).statusCode, 200, 'with the password there was')
    t.equal((await login('acme', 'another password here')).statusCode, 401)
  })
})
