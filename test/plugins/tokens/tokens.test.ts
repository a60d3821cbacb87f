// The plugin with a tenant plugin behind it, as services use it: tokens that pass, tokens that do not, and the
// answers.
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { fromClaim, fromHeader, tenantClaim } from '../../../plugins/distributed-tenant/index.js'
import tokens, { createRemoteKeys } from '../../../plugins/tokens/index.js'
import { rig } from '../../rig.js'
import { claims, confusedToken, issuer, makeKey, now, tokenOf, unsignedToken } from './issuer.js'

const key = makeKey('one')
const otherKey = makeKey('one')

async function stand(t: Test) {
  const from = await issuer(t, [key, makeKey('rsa', 'RS256')])
  const { app: build } = await rig(t, ['employee'])
  const app = await build(
    'employee',
    { identifyBy: [fromHeader('HRMS-Client-ID'), fromClaim()], authorizeTenant: tenantClaim() },
    app => {
      app.get('/need', { config: { tenant: 'required' } }, async request => ({ id: request.tenant.id }))
      app.get('/may', async request => ({ id: request.headers['x-touch'] ? request.tenant.id : 'untouched' }))
      app.get('/open', { config: { tenant: 'required', token: false } }, async request => ({ id: request.tenant.id }))
      app.get('/never', { config: { tenant: false } }, async request => ({ user: request.user }))
      app.get('/role', { config: { roles: ['admin'] } }, async () => ({}))
      app.post('/write', { config: { tenant: 'required', roles: ['admin', 'manager'] } }, request => {
        return request.sql`select 1 as written`
      })
    },
    async app => {
      const keys = createRemoteKeys({ url: from.url })
      await app.register(tokens, { keys, issuer: 'the-issuer', audience: 'the-audience', required: true })
    },
  )
  for (const id of ['acme', 'globex']) await app.tenants.create({ id, name: id })
  const ask = (url: string, authorization?: string, tenant?: string, more: Record<string, string> = {}) =>
    app.inject({
      method: url === '/write' ? 'POST' : 'GET',
      url,
      headers: { ...(authorization && { authorization }), ...(tenant && { 'hrms-client-id': tenant }), ...more },
    })
  return { app, from, ask }
}

t.test('a verified token', async t => {
  const { app, from, ask } = await stand(t)
  const good = `Bearer ${tokenOf(key)}`
  const open = () => app.tenants.connectionInfo().open

  await t.test('names its tenant, alone or beside a header that agrees', async t => {
    t.match((await ask('/need', good)).json(), { id: 'acme' })
    t.match((await ask('/need', good, 'acme')).json(), { id: 'acme' })
    t.match((await ask('/may', good, undefined, { 'x-touch': '1' })).json(), { id: 'acme' })
    t.match((await ask('/need', `bearer ${tokenOf(key)}`)).json(), { id: 'acme' }, 'the scheme in any case')
  })

  await t.test('with another tenant’s name is 403, before anything is looked up', async t => {
    for (const tenant of ['globex', 'unknown-tenant']) {
      for (const url of ['/need', '/may']) {
        t.match((await ask(url, good, tenant)).json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
      }
    }
    t.equal(open(), 0)
  })

  await t.test('whose tenant is unknown is 404, and without a tenant 400', async t => {
    const of = (more: object) => ask('/need', `Bearer ${tokenOf(key, claims(more))}`)
    t.match((await of({ tenant: 'unknown-tenant' })).json(), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
    t.match((await of({ tenant: '../acme' })).json(), { statusCode: 400, code: 'TENANT_ID_INVALID' })
    t.match((await of({ tenant: undefined })).json(), { statusCode: 400, code: 'TENANT_REQUIRED' })
    t.match((await of({ tenant: ['acme'] })).json(), { statusCode: 400, code: 'TENANT_REQUIRED' })
    const header = await ask('/need', `Bearer ${tokenOf(key, claims({ tenant: undefined }))}`, 'acme')
    t.match(header.json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' }, 'a token of no tenant is none for this one')
  })

  await t.test('is required where a tenant is', async t => {
    for (const tenant of [undefined, 'acme', 'unknown-tenant']) {
      const response = await ask('/need', undefined, tenant)
      t.match(response.json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
      t.equal(response.headers['www-authenticate'], 'Bearer')
    }
    t.match((await ask('/may')).json(), { id: 'untouched' })
    t.match((await ask('/may', undefined, 'acme')).json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
    t.match((await ask('/open', undefined, 'acme')).json(), { id: 'acme' }, 'but not where the route is public')
    t.match((await ask('/open', 'Bearer rubbish', 'acme')).json(), { id: 'acme' })
    t.match((await ask('/never', 'Bearer rubbish')).json(), { user: null })
    t.match((await ask('/nowhere', 'Bearer rubbish')).json(), { statusCode: 404 })
  })

  const wrong: Record<string, () => string> = {
    nothing: () => 'Bearer ',
    'another scheme': () => `Basic ${Buffer.from('a:b').toString('base64')}`,
    'no token': () => 'Bearer x',
    'half a token': () => `Bearer ${tokenOf(key).split('.').slice(0, 2).join('.')}`,
    'two tokens': () => `Bearer ${tokenOf(key)} ${tokenOf(key)}`,
    'an unsigned one': () => `Bearer ${unsignedToken('one')}`,
    'one whose algorithm is None': () => `Bearer ${unsignedToken('one', 'None')}`,
    'one that claims EdDSA and has no signature': () => `Bearer ${unsignedToken('one', 'EdDSA')}`,
    'the public key as a secret': () => `Bearer ${confusedToken(key)}`,
    'another key of that name': () => `Bearer ${tokenOf(otherKey)}`,
    'an unknown key': () => `Bearer ${tokenOf(key, claims(), { kid: 'two' })}`,
    'no key': () => `Bearer ${tokenOf(key, claims(), { kid: undefined })}`,
    'a key that is no text': () => `Bearer ${tokenOf(key, claims(), { kid: { one: 1 } })}`,
    'a key named __proto__': () => `Bearer ${tokenOf(key, claims(), { kid: '__proto__' })}`,
    'a name longer than any': () => `Bearer ${tokenOf(key, claims(), { kid: 'k'.repeat(5000) })}`,
    'another key’s kind': () => `Bearer ${tokenOf(key, claims(), { kid: 'rsa' })}`,
    'a critical extension': () => `Bearer ${tokenOf(key, claims(), { crit: ['b64'], b64: false })}`,
    'a key of its own': () => `Bearer ${tokenOf(otherKey, claims(), { jwk: otherKey.jwk })}`,
    'a key from elsewhere': () => `Bearer ${tokenOf(otherKey, claims(), { jku: from.url, kid: 'x' })}`,
    'an expired one': () => `Bearer ${tokenOf(key, claims({ exp: now() - 10 }))}`,
    'one without end': () => `Bearer ${tokenOf(key, claims({ exp: undefined }))}`,
    'one whose end is a text': () => `Bearer ${tokenOf(key, claims({ exp: '9999999999' }))}`,
    'one of the future': () => `Bearer ${tokenOf(key, claims({ nbf: now() + 60 }))}`,
    'another issuer’s': () => `Bearer ${tokenOf(key, claims({ iss: 'the-issuer.evil' }))}`,
    'one for others': () => `Bearer ${tokenOf(key, claims({ aud: 'others' }))}`,
    'one without audience': () => `Bearer ${tokenOf(key, claims({ aud: undefined }))}`,
    'one without a subject': () => `Bearer ${tokenOf(key, claims({ sub: undefined }))}`,
    'one whose subject is no text': () => `Bearer ${tokenOf(key, claims({ sub: { id: 1 } }))}`,
    'one with a changed body': () => {
      const [head, , signature] = tokenOf(key).split('.')
      return `Bearer ${head}.${Buffer.from(JSON.stringify(claims({ tenant: 'globex' }))).toString('base64url')}.${signature}`
    },
  }
  for (const [what, make] of Object.entries(wrong)) {
    await t.test(`is not: ${what}`, async t => {
      for (const url of ['/need', '/may']) {
        const response = await ask(url, make())
        t.match(response.json(), { statusCode: 401, code: 'UNAUTHENTICATED' }, url)
        t.notMatch(response.body, /expired|signature|algorithm/i, 'and the answer gives no reason')
      }
    })
  }

  await t.test('carries the roles that a route asks for', async t => {
    const as = (roles: unknown) => ask('/write', `Bearer ${tokenOf(key, claims({ roles }))}`)
    for (const roles of [['admin'], ['member', 'manager']]) t.equal((await as(roles)).statusCode, 200)
    for (const roles of [['member'], [], undefined, 'admin', { 0: 'admin' }, ['Admin'], [['admin']]]) {
      t.match((await as(roles)).json(), { statusCode: 403, code: 'ROLE_FORBIDDEN' }, JSON.stringify(roles))
    }
  })

  await t.test('is needed wherever a role is, with a tenant or without', async t => {
    t.match((await ask('/role')).json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
    t.match((await ask('/role', `Bearer ${tokenOf(key, claims({ roles: ['member'] }))}`)).json(), {
      statusCode: 403,
      code: 'ROLE_FORBIDDEN',
    })
    t.equal((await ask('/role', `Bearer ${tokenOf(key, claims({ roles: ['admin'] }))}`)).statusCode, 200)
  })

  await t.test('outlives the issuer while its key is known; one of an unknown key is unavailable', async t => {
    from.mood = 'silent'
    t.match((await ask('/need', good)).json(), { id: 'acme' })
  })
})

t.test(
  'roles that cannot be asked for are refused when their route is registered, and of an earlier one at its requests',
  async t => {
    const wrong: object[] = [
      { roles: 'administrator' },
      { roles: [] },
      { roles: [7] },
      { roles: ['admin'], tenant: false },
      { roles: ['admin'], token: false },
    ]
    const keys = { find: async () => null }
    const app = Fastify()
    t.teardown(() => app.close())
    for (const [at, config] of wrong.entries()) app.get(`/early/${at}`, { config }, async () => 'served')
    await app.register(tokens, { keys, issuer: 'the-issuer', audience: 'the-audience', required: true })
    for (const [at, config] of wrong.entries()) {
      t.throws(() => app.get(`/late/${at}`, { config }, async () => 'served'), {
        code: 'CONFIGURATION_INVALID',
        message: new RegExp(`roles of GET(,HEAD)? /late/${at}: `),
      })
    }
    for (const [at, config] of wrong.entries()) {
      t.match((await app.inject(`/early/${at}`)).json(), { code: 'ROLE_FORBIDDEN' }, JSON.stringify(config))
    }
  },
)

t.test('with no issuer from the start every token is unavailable', async t => {
  const { from, ask } = await stand(t)
  from.mood = 'error'
  const response = await ask('/need', `Bearer ${tokenOf(key)}`)
  t.match(response.json(), { statusCode: 503, code: 'TOKEN_KEYS_UNAVAILABLE' })
})
