// The three services in production: real processes, NODE_ENV=production, only HTTP from outside.
import t from 'tap'
import { startStack } from '../../stack/stack.js'
import { until } from '../until.js'

t.test('with NODE_ENV=production', async t => {
  const output: string[] = []
  const stack = await startStack({
    // The servers of the tests use no TLS.
    serviceEnv: { NODE_ENV: 'production', DB_SSLMODE: 'prefer', LOG_LEVEL: 'trace' },
    onServiceLine: (_name, line) => output.push(line),
  })
  t.teardown(() => stack.stop())
  const { identity, employee, core } = stack.info.services
  const operator = { authorization: `Bearer ${stack.info.adminToken}` }

  async function ask(url: string, headers: Record<string, string>, body?: object) {
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    }
  }
  const create = (id: string) =>
    ask(
      `${identity.url}/api/tenants`,
      { ...operator, prefer: 'wait=60' },
      { id, name: id, admin: { email: `admin@${id}.example`, password: `the password of ${id}` } },
    )
  const login = (id: string, password = `the password of ${id}`) =>
    ask(`${identity.url}/api/login`, { 'hrms-client-id': id }, { email: `admin@${id}.example`, password })

  for (const id of ['acme', 'globex']) t.equal((await create(id)).status, 201, id)
  const token = String((await login('acme')).body.token)
  const bearer = { authorization: `Bearer ${token}` }
  const lists = [`${employee.url}/api/employees`, `${core.url}/api/departments`, `${identity.url}/api/users`]

  await t.test('a login opens its own tenant in every service, and no other', async t => {
    for (const url of lists) {
      t.equal((await ask(url, bearer)).status, 200, url)
      t.equal((await ask(url, { ...bearer, 'hrms-client-id': 'acme' })).status, 200, url)
      const other = await ask(url, { ...bearer, 'hrms-client-id': 'globex' })
      t.match(other, { status: 403, body: { code: 'TENANT_FORBIDDEN' } }, url)
      const unknown = await ask(url, { ...bearer, 'hrms-client-id': 'unknown' })
      t.same({ ...unknown.body }, { ...other.body }, 'and an unknown tenant has the same answer')
    }
    const written = await ask(`${core.url}/api/departments`, bearer, { name: 'Engineering', code: 'ENG' })
    t.equal(written.status, 201)
  })

  await t.test('without a token only health is answered', async t => {
    for (const url of lists) {
      for (const tenant of ['acme', 'globex', 'unknown']) {
        t.match(await ask(url, { 'hrms-client-id': tenant }), { status: 401, body: { code: 'UNAUTHENTICATED' } })
      }
      t.match(await ask(url, operator), { status: 401 }, 'the operator is no user')
    }
    for (const { url } of [identity, employee, core]) {
      t.match(await ask(`${url}/api/health`, { 'hrms-client-id': 'acme' }), {
        status: 200,
        body: { tenant: { status: 'ready' } },
      })
    }
    t.match(await ask(`${identity.url}/api/tenants`, bearer), { status: 401 }, 'and a user is no operator')
    t.match(await login('acme', 'not the password'), { status: 401, body: { code: 'LOGIN_FAILED' } })
  })

  await t.test('a suspended tenant is refused whatever its token says', async t => {
    const other = { authorization: `Bearer ${(await login('globex')).body.token}` }
    t.equal((await ask(lists[0] as string, other)).status, 200)
    await ask(`${identity.url}/api/tenants/globex/suspend`, operator, {})
    await until('it is refused', async () => (await ask(lists[0] as string, other)).status === 403)
    t.match(await ask(lists[0] as string, other), { body: { code: 'TENANT_SUSPENDED' } })
    t.match(await login('globex'), { status: 403 })
  })

  await t.test('answers have headers that protect them', async t => {
    const { headers } = await ask(lists[0] as string, bearer)
    t.equal(headers.get('cache-control'), 'private, no-store')
    t.match(headers.get('vary'), /HRMS-Client-ID, Authorization/)
    t.equal(headers.get('x-content-type-options'), 'nosniff')
    t.match(headers.get('content-security-policy'), /default-src 'none'/)
    t.match(headers.get('strict-transport-security'), /max-age/)
    const page = await fetch(`${employee.url}/api/docs/`)
    t.equal(page.status, 200)
    t.match(
      page.headers.get('content-security-policy'),
      /script-src|default-src 'self'/,
      'the documentation may load itself',
    )
  })

  await t.test('with identity gone its tokens are still believed', async t => {
    await stack.services.identity.kill()
    t.equal((await ask(lists[0] as string, bearer)).status, 200)
    t.match(await ask(lists[0] as string, { ...bearer, 'hrms-client-id': 'globex' }), { status: 403 })
    const [head = '', ...rest] = token.split('.')
    const header = { ...JSON.parse(Buffer.from(head, 'base64url').toString()), kid: 'unknown' }
    const unknown = [Buffer.from(JSON.stringify(header)).toString('base64url'), ...rest].join('.')
    await until('an unknown key is unavailable', async () => {
      return (await ask(lists[0] as string, { authorization: `Bearer ${unknown}` })).status === 503
    })
  })

  await t.test('no secret is in the services’ logs', async t => {
    t.ok(output.length > 20)
    const secrets = [token, stack.info.adminToken, 'the password of', 'BEGIN PRIVATE KEY', '$scrypt$']
    for (const secret of secrets)
      t.same(
        output.filter(line => line.includes(secret)),
        [],
        secret.slice(0, 20),
      )
  })
})
