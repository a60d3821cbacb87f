import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { rig } from '../../../rig.js'

interface Answer {
  status: number
  code?: string
  id?: string
}

/** Sends the bytes unchanged and reads status and body. */
async function raw(port: number, head: string): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${head}\r\nConnection: close\r\n\r\n`, 'latin1')
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  await once(socket, 'close')
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  return { status: Number(text.slice(9, 12)), ...(body.startsWith('{') ? JSON.parse(body) : {}) }
}

t.test('a request names its tenant', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee', { baseDomain: 'hrms.example.com' }, app => {
    app.get('/need', { config: { tenant: 'required' } }, async request => ({ id: request.tenant.id }))
    app.get('/may', async request => ({ id: request.headers['x-touch'] ? request.tenant.id : 'untouched' }))
    app.get('/never', { config: { tenant: false } }, async request => ({ id: request.tenant.id }))
    app.register(
      async scope => {
        scope.get('/need', async request => ({ id: request.tenant.id }))
        scope.get('/open', { config: { tenant: false } }, async () => ({ id: 'none' }))
      },
      { prefix: '/scope', tenant: 'required' },
    )
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  await app.tenants.create({ id: 'acme', name: 'Acme', domain: 'people.acme.com' })
  for (const id of ['globex', 'shut', 'gone']) await app.tenants.create({ id, name: id })
  await app.tenants.suspend('shut')
  await app.tenants.remove('gone')
  // Identity confirms a domain by giving the tenant a version.
  await app.central`update tenants set version = 1 where id = 'acme'`

  const get = (lines: string[], path = '/need') => raw(port, [`GET ${path} HTTP/1.1`, ...lines].join('\r\n'))
  const header = (value: string, host = '127.0.0.1') => get([`Host: ${host}`, `HRMS-Client-ID: ${value}`])
  const host = (value: string) => get([`Host: ${value}`])

  await t.test('by header, subdomain, or custom domain', async t => {
    t.match(await header('acme'), { status: 200, id: 'acme' })
    t.match(await get(['Host: x', 'hrms-client-id: acme']), { status: 200, id: 'acme' })
    t.match(await host('acme.hrms.example.com'), { status: 200, id: 'acme' })
    t.match(await host('ACME.HRMS.example.com:8080'), { status: 200, id: 'acme' })
    t.match(await host('acme.hrms.example.com.'), { status: 200, id: 'acme' })
    t.match(await host('people.acme.com'), { status: 200, id: 'acme' })
    t.match(await header('acme', 'people.acme.com'), { status: 200, id: 'acme' }, 'both agree')
  })

  type Row = [what: string, ask: () => Promise<Answer>, status: number, code: string]
  const badIds = [
    ...[
      '',
      '   ',
      'ACME',
      'a,b',
      'a b',
      'a_b',
      '-a',
      'a-',
      'a--b',
      'xn--pple-43d',
      '..',
      '../x',
      '%2e%2e',
      '__proto__',
    ],
    ...["a'; DROP DATABASE x;--", 'a"b', 'a\\', '$1', 'caf\u00e9', '\u00c3\u00a9', 'k\u00a0'],
    ...['a'.repeat(41), 'a'.repeat(10_000)],
  ]
  const badHosts = [
    ...['victim@acme.hrms.example.com', 'acme.hrms.example.com, globex.hrms.example.com', 'acme.hrms.example.com/../x'],
    ...['a..example.com', '.example.com', 'acme.hrms.example.com:99999', 'acme.hrms.example.com:', 'a.example.com:8:8'],
    ...['-acme.example.com', 'caf\u00e9.example.com', 'acme_x.example.com'],
    ...[`${'a'.repeat(64)}.example.com`, `${'a.'.repeat(130)}com`],
  ]
  const table: Row[] = [
    ['none at all', () => get(['Host: 127.0.0.1']), 400, 'TENANT_REQUIRED'],
    ['an unregistered host', () => host('unknown.example.org'), 400, 'TENANT_REQUIRED'],
    ['localhost', () => host('localhost:3000'), 400, 'TENANT_REQUIRED'],
    ['an address', () => host('[::1]:3000'), 400, 'TENANT_REQUIRED'],
    ['the base domain itself', () => host('hrms.example.com'), 400, 'TENANT_REQUIRED'],
    ['a look-alike of the base domain', () => host('evilhrms.example.com'), 400, 'TENANT_REQUIRED'],
    ['the base domain as a prefix', () => host('acme.hrms.example.com.evil.com'), 400, 'TENANT_REQUIRED'],
    ['unknown', () => header('unknown'), 404, 'TENANT_NOT_FOUND'],
    ['an unknown subdomain', () => host('unknown.hrms.example.com'), 404, 'TENANT_NOT_FOUND'],
    ['deleted', () => header('gone'), 404, 'TENANT_NOT_FOUND'],
    ['suspended', () => header('shut'), 403, 'TENANT_SUSPENDED'],
    ['header and host disagree', () => header('globex', 'acme.hrms.example.com'), 400, 'TENANT_CONFLICT'],
    ['header and domain disagree', () => header('globex', 'people.acme.com'), 400, 'TENANT_CONFLICT'],
    ['header twice', () => get(['Host: x', 'HRMS-Client-ID: acme', 'hrms-client-id: acme']), 400, 'TENANT_AMBIGUOUS'],
    ['two hosts', () => get(['Host: acme.hrms.example.com', 'Host: globex.hrms.example.com']), 400, 'HOST_INVALID'],
    [
      'another host in the request line',
      () => get(['Host: acme.hrms.example.com'], 'http://globex.hrms.example.com/need'),
      400,
      'HOST_INVALID',
    ],
    ['a name below a subdomain', () => host('x.acme.hrms.example.com'), 400, 'TENANT_ID_INVALID'],
    ['a punycode subdomain', () => host('xn--pple-43d.hrms.example.com'), 400, 'TENANT_ID_INVALID'],
    ...badIds.map(
      (id): Row => [`header ${JSON.stringify(id.slice(0, 30))}`, () => header(id), 400, 'TENANT_ID_INVALID'],
    ),
    ...badHosts.map((name): Row => [`host ${name.slice(0, 30)}`, () => host(name), 400, 'HOST_INVALID']),
  ]
  for (const [what, ask, status, code] of table) {
    await t.test(`${what}: ${status} ${code}`, async t => {
      t.match(await ask(), { status, code })
    })
  }

  await t.test('is not resolved until a route touches the tenant', async t => {
    t.match(await get(['Host: x'], '/may'), { status: 200, id: 'untouched' })
    t.match(await get(['Host: x', 'X-Touch: 1'], '/may'), { status: 400, code: 'TENANT_REQUIRED' })
    t.match(await get(['Host: x', 'X-Touch: 1', 'HRMS-Client-ID: acme'], '/may'), { status: 200, id: 'acme' })
    t.match(await get(['Host: x', 'HRMS-Client-ID: unknown'], '/may'), { status: 404 }, 'a named tenant is looked up')
  })

  await t.test('is skipped where the route says so, and touching it there is a programming error', async t => {
    t.match(await get(['Host: x', 'HRMS-Client-ID: acme'], '/never'), { status: 500, code: 'TENANT_CONTEXT_MISSING' })
    t.match(await get(['Host: x', 'HRMS-Client-ID: ..'], '/scope/open'), { status: 200, id: 'none' })
  })

  await t.test('is required in a scope that says so', async t => {
    t.match(await get(['Host: x'], '/scope/need'), { status: 400, code: 'TENANT_REQUIRED' })
    t.match(await get(['Host: x', 'HRMS-Client-ID: acme'], '/scope/need'), { status: 200, id: 'acme' })
  })

  await t.test('leaves unknown routes unchanged', async t => {
    t.match(await get(['Host: x', 'HRMS-Client-ID: ..'], '/nowhere'), { status: 404 })
    t.equal(app.tenants.connectionInfo().open, 0, 'and no connection was opened by any of this')
  })

  await t.test('is a claim: it is refused unless authorizeTenant confirms it', async t => {
    const guarded = await build(
      'employee',
      { authorizeTenant: (request, tenant) => request.headers['x-user-of'] === tenant.id },
      app => {
        app.get('/need', { config: { tenant: 'required' } }, request => request.sql`select 1 as one`)
      },
    )
    const ask = (of: string) => guarded.inject({ url: '/need', headers: { 'hrms-client-id': 'acme', 'x-user-of': of } })
    t.match((await ask('globex')).json(), { statusCode: 403, code: 'TENANT_FORBIDDEN' })
    t.equal(guarded.tenants.connectionInfo().open, 0)
    t.equal((await ask('acme')).statusCode, 200)
  })

  await t.test('is not read from a header in production unless an option allows it', async t => {
    await t.rejects(build('employee', { production: true }), {
      code: 'CONFIGURATION_INVALID',
      message: /authorizeTenant.*trustedGateway/,
    })
    await build('employee', { production: true, trustedGateway: true, identity: null })
  })
})
