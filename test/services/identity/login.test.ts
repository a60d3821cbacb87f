import { createPublicKey, verify } from 'node:crypto'
import t, { type Test } from 'tap'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'
import { createPasswords } from '../../../services/identity/passwords.js'
import { until } from '../../until.js'
import { holdClock } from '../clock.js'
import { as, serviceRig } from '../rig.js'

const cheap = { ln: 4, r: 8, p: 1 }
const ada = { email: 'Ada@example.com', displayName: 'Ada Lovelace', password: 'correct horse battery' }

async function identity(t: Test) {
  const { service, look } = await serviceRig(t, ['identity'])
  // In production tenants come by event; here one is made at once.
  const app = await service('identity', { source: false }, { passwordCost: cheap })
  let made = 0
  const tenant = async () => (await app.tenants.create({ id: `tenant-${++made}`, name: 'Acme' })).id
  const login = (tenant: string, email: string, password: string) =>
    as(app, tenant)('POST', '/api/login', { email, password })
  return { app, tenant, login, look, service }
}

const decoded = (token: string) =>
  token
    .split('.')
    .slice(0, 2)
    .map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))

t.test('signing in', async t => {
  const { app, tenant, login, look, service } = await identity(t)

  await t.test('gives a token that the published key verifies', async t => {
    const id = await tenant()
    const user = (await as(app, id)('POST', '/api/users', { ...ada, role: 'manager' })).json()
    const response = await login(id, 'ada@EXAMPLE.com', ada.password)
    t.equal(response.statusCode, 200, response.body)
    t.equal(response.headers['cache-control'], 'private, no-store')
    const { token, expiresIn, tokenType } = response.json()
    t.match({ expiresIn, tokenType }, { expiresIn: 900, tokenType: 'Bearer' })

    const published = await app.inject('/.well-known/jwks.json')
    t.equal(published.headers['cache-control'], 'public, max-age=300')
    t.same(Object.keys(published.json().keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'], 'nothing private')
    const [header, claims] = decoded(token)
    t.match(header, { alg: 'EdDSA', kid: published.json().keys[0].kid })
    const { iat, exp, jti, ...output } = claims
    t.same(output, { sub: user.id, tenant: id, roles: ['manager'], iss: 'identity-service', aud: 'tenant-services' })
    t.equal(exp - iat, 900)
    t.match(jti, /^[0-9a-f-]{36}$/)
    const key = createPublicKey({ key: published.json().keys[0], format: 'jwk' })
    const [head, body, signature = ''] = token.split('.')
    t.ok(verify(null, Buffer.from(`${head}.${body}`), key, Buffer.from(signature, 'base64url')))
  })

  await t.test('has one answer for every wrong part', async t => {
    const [id, other] = [await tenant(), await tenant()]
    const call = as(app, id)
    await call('POST', '/api/users', ada)
    await call('POST', '/api/users', { ...ada, email: 'gone@example.com', status: 'disabled' })
    await call('POST', '/api/users', { email: 'none@example.com', displayName: 'No Password' })
    const answers = await Promise.all([
      login(id, ada.email, 'wrong horse battery'),
      login(id, 'unknown@example.com', ada.password),
      login(id, 'gone@example.com', ada.password),
      login(id, 'none@example.com', ada.password),
      login(other, ada.email, ada.password),
      login(id, "' or 1=1 --", ada.password),
      login(id, '%', ada.password),
    ])
    for (const answer of answers) {
      t.equal(answer.statusCode, 401)
      t.same(answer.json(), (answers[0] as (typeof answers)[0]).json())
      t.match(answer.json(), { code: 'LOGIN_FAILED' })
    }
  })

  await t.test('requires a tenant, and names the fault of the body', async t => {
    const id = await tenant()
    t.match((await app.inject({ method: 'POST', url: '/api/login', payload: ada })).json(), { code: 'TENANT_REQUIRED' })
    t.match((await login('unknown', ada.email, ada.password)).json(), { code: 'TENANT_NOT_FOUND' })
    const bad = [{}, { email: ada.email }, { email: ada.email, password: 1 }, { ...ada }, { email: '', password: '' }]
    for (const body of bad) {
      const response = await as(app, id)('POST', '/api/login', body)
      t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID' })
      t.notMatch(response.body, /horse/)
    }
    const huge = { email: ada.email, password: 'x'.repeat(100_000) }
    t.equal((await as(app, id)('POST', '/api/login', huge)).statusCode, 413)
  })

  await t.test('guessing is slowed for that account, and for no other', async t => {
    const [id, other] = [await tenant(), await tenant()]
    for (const one of [id, other]) await as(app, one)('POST', '/api/users', ada)
    const answers = []
    holdClock(t)
    for (let n = 0; n < 12; n++) answers.push(await login(id, ada.email, `wrong guess number ${n}`))
    t.same(
      answers.map(({ statusCode }) => statusCode),
      [...Array(10).fill(401), 429, 429],
    )
    t.match(answers[11]?.json(), { code: 'RATE_LIMITED' })
    t.ok(Number(answers[11]?.headers['retry-after']) > 0)
    t.equal(
      (await login(id, 'ADA@example.com', ada.password)).statusCode,
      429,
      'in any case, and with the right one too',
    )
    t.equal((await login(id, 'eve@example.com', ada.password)).statusCode, 401)
    t.equal((await login(other, ada.email, ada.password)).statusCode, 200)
  })

  await t.test('one address is slowed at all tenants together, and no other address is', async t => {
    const environment = readEnvironment({ RATE_LIMIT_LOGINS_PER_ADDRESS: '5', TRUSTED_PROXIES: '127.0.0.1' })
    const slow = await service('identity', { source: false }, { environment, passwordCost: cheap })
    const ids = [await tenant(), await tenant(), await tenant()]
    const from = (address: string, id: string, n: number) =>
      slow.inject({
        method: 'POST',
        url: '/api/login',
        headers: { 'hrms-client-id': id, 'x-forwarded-for': address },
        payload: { email: `u${n}@example.com`, password: 'wrong' },
      })
    holdClock(t)
    const answers = []
    for (let n = 0; n < 7; n++) answers.push(await from(`2001:db8::${n + 1}`, ids[n % 3] as string, n))
    t.same(
      answers.map(({ statusCode }) => statusCode),
      [...Array(5).fill(401), 429, 429],
    )
    t.ok(Number(answers[6]?.headers['retry-after']) > 0)
    t.equal((await from('192.0.2.9', ids[0] as string, 1)).statusCode, 401)
  })

  await t.test('a flood from one address takes no turn from a user at another', async t => {
    const environment = readEnvironment({ RATE_LIMIT_LOGINS_PER_ADDRESS: '0', TRUSTED_PROXIES: '127.0.0.1' })
    const flooded = await service('identity', { source: false }, { environment, passwordCost: { ...cheap, ln: 12 } })
    const ids = await Promise.all(Array.from({ length: 6 }, tenant))
    const post = (url: string, id: string, address: string, payload: object) =>
      flooded.inject({ method: 'POST', url, headers: { 'hrms-client-id': id, 'x-forwarded-for': address }, payload })
    const home = await tenant()
    t.equal((await post('/api/users', home, '192.0.2.1', ada)).statusCode, 201)
    let answered = 0
    const statuses = new Set<number>()
    holdClock(t)
    const flood = Array.from({ length: 300 }, async (_, n) => {
      const login = { email: `u${n}@example.com`, password: 'wrong' }
      const answer = await post('/api/login', ids[n % ids.length] as string, '198.51.100.1', login)
      answered++
      statuses.add(answer.statusCode)
      if (answer.statusCode === 503) t.ok(Number(answer.headers['retry-after']) > 0)
    })
    await until('the line of the one address is full', () => statuses.has(503))
    t.ok(answered < 300, 'the flood is not over')
    const { email, password } = ada
    t.equal((await post('/api/login', home, '192.0.2.1', { email, password })).statusCode, 200)
    t.equal((await post('/api/users', home, '192.0.2.1', { ...ada, email: 'bob@example.com' })).statusCode, 201)
    await Promise.all(flood)
    t.same([...statuses].sort(), [401, 503])
  })

  await t.test('a hash of older parameters is replaced', async t => {
    const id = await tenant()
    const { id: user } = (await as(app, id)('POST', '/api/users', ada)).json()
    const sql = look('identity', `tenant_${id}_identity`)
    const old = await createPasswords({ ...cheap, ln: 3 }).hash(ada.password, { address: 'test', tenant: null })
    await sql`update credentials set password_hash = ${old} where user_id = ${user}`
    t.equal((await login(id, ada.email, ada.password)).statusCode, 200)
    const [{ hash }] = (await sql`select password_hash as hash from credentials where user_id = ${user}`) as [
      { hash: string },
    ]
    t.match(hash, /^\$scrypt\$ln=4,/)
    t.equal((await login(id, ada.email, ada.password)).statusCode, 200)
  })

  await t.test('a token of one tenant opens no other, and roles are kept', async t => {
    const [id, other] = [await tenant(), await tenant()]
    await as(app, id)('POST', '/api/users', ada)
    const { token } = (await login(id, ada.email, ada.password)).json()
    const authorization = `Bearer ${token}`
    const ask = (method: 'GET' | 'POST', headers: object) =>
      app.inject({
        method,
        url: '/api/users',
        headers: { authorization, ...headers },
        ...(method === 'POST' && { payload: ada }),
      })
    t.equal((await ask('GET', {})).statusCode, 200)
    t.equal((await ask('GET', { 'hrms-client-id': id })).statusCode, 200)
    t.match((await ask('GET', { 'hrms-client-id': other })).json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
    t.match((await ask('POST', {})).json(), { statusCode: 403, code: 'ROLE_FORBIDDEN' })
    t.equal(
      (await app.inject({ url: '/api/tenants', headers: { authorization } })).statusCode,
      401,
      'nor the operator’s',
    )
  })

  await t.test('a replica accepts tokens that another has signed', async t => {
    const id = await tenant()
    await as(app, id)('POST', '/api/users', ada)
    const { token } = (await login(id, ada.email, ada.password)).json()
    const replica = await service('identity', { source: false }, { passwordCost: cheap })
    const answer = await replica.inject({ url: '/api/users', headers: { authorization: `Bearer ${token}` } })
    t.equal(answer.statusCode, 200)
  })
})
