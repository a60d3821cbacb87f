import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { holdClock } from './clock.js'
import { serviceRig } from './rig.js'

const roleSecret = 'k1:a-secret-that-only-the-tests-ever-use'

t.test('the rate of requests', async t => {
  const { service } = await serviceRig(t, ['employee'])
  const app = await service(
    'employee',
    {},
    {
      environment: readEnvironment({
        RATE_LIMIT_PER_ADDRESS: '20',
        RATE_LIMIT_PER_TENANT: '30',
        TRUSTED_PROXIES: '10.0.0.1',
      }),
    },
  )
  for (const id of ['acme', 'globex']) await app.tenants.create({ id, name: id })
  const ask = (from: string, tenant: string, url = '/api/employees', remoteAddress = '10.0.0.1') =>
    app.inject({ url, remoteAddress, headers: { 'hrms-client-id': tenant, 'x-forwarded-for': from } })
  const statuses = async (count: number, one: () => ReturnType<typeof ask>) => {
    const seen = new Set<number>()
    for (let n = 0; n < count; n++) seen.add((await one()).statusCode)
    return [...seen]
  }

  await t.test('is bounded for an address, for refused requests too, and liveness is not counted', async t => {
    holdClock(t)
    t.same(await statuses(20, () => ask('192.0.2.1', 'unknown')), [404])
    const refused = await ask('192.0.2.1', 'acme')
    t.match(refused.json(), { statusCode: 429, code: 'RATE_LIMITED' })
    t.ok(Number(refused.headers['retry-after']) > 0)
    t.equal((await ask('192.0.2.1', 'acme', '/api/health/live')).statusCode, 200)
    t.equal((await ask('192.0.2.2', 'acme')).statusCode, 200, 'another address')
  })

  await t.test(
    'is bounded for health too, which answers about tenants without a token, apart from the rest',
    async t => {
      holdClock(t)
      t.same((await statuses(60, () => ask('192.0.2.7', 'unknown', '/api/health'))).sort(), [404])
      t.match((await ask('192.0.2.7', 'acme', '/api/health')).json(), { statusCode: 429, code: 'RATE_LIMITED' })
      t.equal((await ask('192.0.2.8', 'acme', '/api/health')).statusCode, 200)
      t.equal((await ask('192.0.2.7', 'acme')).statusCode, 200)
      for (const url of ['/api/health/live', '/api/health/ready'])
        t.equal((await ask('192.0.2.7', 'acme', url)).statusCode, 200, url)
    },
  )

  await t.test('an IPv6 network is one address', async t => {
    holdClock(t)
    t.same(await statuses(20, () => ask(`2001:db8::${Math.floor(Math.random() * 9999)}`, 'unknown')), [404])
    t.equal((await ask('2001:db8::ffff', 'acme')).statusCode, 429)
    t.equal((await ask('2001:db8:0:1::1', 'acme')).statusCode, 200)
  })

  await t.test('a client that is no trusted proxy cannot claim another address', async t => {
    holdClock(t)
    let n = 0
    t.same(await statuses(20, () => ask(`192.0.3.${++n}`, 'unknown', '/api/employees', '198.51.100.1')), [404])
    t.equal((await ask('192.0.3.99', 'acme', '/api/employees', '198.51.100.1')).statusCode, 429)
  })

  await t.test('is bounded for a tenant from any address, and another is not affected', async t => {
    holdClock(t)
    let n = 0
    t.same((await statuses(40, () => ask(`203.0.113.${++n}`, 'acme'))).sort(), [200, 429])
    t.equal((await ask('203.0.113.200', 'globex')).statusCode, 200)
  })
})

t.test('a service in production requires a token issuer', async t => {
  const { service } = await serviceRig(t, ['core'])
  const start = (more: Record<string, string>) =>
    service(
      'core',
      {},
      { environment: readEnvironment({ NODE_ENV: 'production', TENANT_ROLE_SECRET: roleSecret, ...more }) },
    )
  await t.rejects(start({}), { code: 'CONFIGURATION_INVALID', message: /IDENTITY_URL.*TOKEN_KEYS_URL/ })
  const app = await start({ IDENTITY_URL: 'http://127.0.0.1:1' })
  const ask = (authorization?: string) =>
    app.inject({
      url: '/api/departments',
      headers: { 'hrms-client-id': 'acme', ...(authorization && { authorization }) },
    })
  t.match((await ask()).json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
  const token = `${Buffer.from('{"alg":"EdDSA","kid":"one"}').toString('base64url')}.e30.AAAA`
  const unknown = await ask(`Bearer ${token}`)
  t.match(unknown.json(), { statusCode: 503, code: 'TOKEN_KEYS_UNAVAILABLE' })
  t.ok(unknown.headers['retry-after'])
})
