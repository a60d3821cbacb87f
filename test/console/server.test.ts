// The console's server without a browser: services that refuse its token, sessions of an application's own login, streams.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import console, { type AuthorizeOperator, type ConsoleOptions } from '../../plugins/console/index.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import type { Operator } from '../../plugins/operator/index.js'

import { serviceRig } from '../services/rig.js'
import { until } from '../until.js'
import { OPERATOR_TOKEN, tokens } from './browser.js'

interface Page {
  readonly get: (path: string) => Promise<LightMyRequestResponse>
  readonly send: (method: 'POST' | 'DELETE', path: string, csrf?: string) => Promise<LightMyRequestResponse>
  readonly headers: { readonly cookie: string }
}

async function signIn(app: FastifyInstance, base: string, token: string): Promise<Page> {
  const answer = await app.inject({
    method: 'POST',
    url: `${base}/api/session`,
    headers: { authorization: `Bearer ${token}` },
    payload: { name: 'Ada' },
  })
  const headers = { cookie: String(answer.headers['set-cookie']).split(';')[0] as string }
  const { csrf: own } = answer.json()
  return {
    headers,
    get: path => app.inject({ url: `${base}/api/${path}`, headers }),
    send: (method, path, csrf = own) =>
      app.inject({ method, url: `${base}/api/${path}`, headers: { ...headers, 'x-csrf-token': csrf } }),
  }
}

/** The text of an event stream, as far as it has come. */
async function stream(t: Test, url: string, headers: Record<string, string>) {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(url, { headers, signal: abort.signal })
  const read = { text: '', ended: false }
  void (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) read.text += decoder.decode(chunk, { stream: true })
    read.ended = true
  })().catch(() => {})
  return read
}

/** A console beside no service at all, with a login of its own. */
async function alone(t: Test, authorizeOperator: AuthorizeOperator, more: Partial<ConsoleOptions> = {}) {
  const app = Fastify()
  // Of a server that has been closed: its port is free.
  const gone = Fastify()
  const identity = await gone.listen({ host: '127.0.0.1', port: 0 })
  await gone.close()
  await app.register(console, {
    prefix: '/operations',
    services: { identity },
    token: 'a-token-of-the-console',
    signInUrl: '/login',
    authorizeOperator,
    ...more,
  })
  t.teardown(() => app.close())
  return { app, base: `${await app.listen({ host: '127.0.0.1', port: 0 })}/operations` }
}

t.test('with services', async t => {
  const rig = await serviceRig(t, ['identity', 'employee'])
  const other = 'administer:another-token-of-the-tests'
  const employee = await rig.service('employee', {}, { environment: readEnvironment({ OPERATOR_TOKEN: other }) })
  const at = await employee.listen({ host: '127.0.0.1', port: 0 })
  const identity = await rig.service(
    'identity',
    {},
    {
      environment: readEnvironment({
        OPERATOR_TOKEN,
        CONSOLE_SERVICES: `employee=${at},behind=${at}/behind/a/proxy/`,
        REQUIRED_SERVICES: 'identity',
      }),
    },
  )
  const base = await identity.listen({ host: '127.0.0.1', port: 0 })
  const page = await signIn(identity, '/console', tokens.act)

  await t.test('a service that refuses the console’s token does not end the operator’s session', async t => {
    for (const answer of [
      await page.get('services/employee/overview'),
      await page.send('POST', 'services/employee/dead/1/replay'),
    ]) {
      t.same([answer.statusCode, answer.json().code], [502, 'SERVICE_UNREACHABLE'])
      t.match(answer.json().message, /employee refuses the console’s token: is OPERATOR_TOKEN the same there/)
    }
    t.match((await page.get('overview')).json().employee.error, /OPERATOR_TOKEN/)
    t.equal((await page.get('session')).json().session.name, 'Ada')
  })

  await t.test('an address keeps its path', async t => {
    const answer = await page.get('services/behind/overview')
    t.same([answer.statusCode, answer.json().code], [404, 'ROUTE_NOT_FOUND'], 'not the service’s own route')
  })

  await t.test('a refused sign-in and a change without the session’s CSRF token are audit rows', async t => {
    await signIn(identity, '/console', 'a-wrong-token-of-the-tests')
    t.equal((await page.send('POST', 'services/identity/fleet/acme/retry', 'x')).statusCode, 403)
    const rows = await until('the rows are written', async () => {
      const found = await identity.central`
        select result, actor, detail->>'route' as route from audit_log where kind = 'refused' order by at`
      return found.length >= 2 ? found : undefined
    })
    t.same(
      [...rows],
      [
        { result: 'UNAUTHENTICATED', actor: null, route: '/console/api/session' },
        { result: 'CSRF_TOKEN_INVALID', actor: 'Ada', route: '/console/api/services/:service/*' },
      ],
    )
  })

  await t.test('an event stream ends after the sign-out of its session', async t => {
    const read = await stream(t, `${base}/console/api/events`, page.headers)
    await until('it has begun', () => read.text.includes('event: hello'))
    t.notOk(read.ended)
    t.equal((await page.send('DELETE', 'session')).statusCode, 200)
    await until('it has ended', () => read.ended)
  })
})

t.test('the stream', async t => {
  const rig = await serviceRig(t, ['identity'])
  const environment = readEnvironment({ OPERATOR_TOKEN, REQUIRED_SERVICES: 'identity' })
  const identity = await rig.service('identity', {}, { environment })
  const base = `${await identity.listen({ host: '127.0.0.1', port: 0 })}/console`
  const { headers } = await signIn(identity, '/console', tokens.read)
  const { central } = identity
  const open = (more: Record<string, string> = {}) => stream(t, `${base}/api/events`, { ...headers, ...more })
  const placesIn = (text: string) => [...text.matchAll(/^id: (\S+)$/gm)].map(([, place]) => place as string)
  await identity.tenants.create({ id: 'acme', name: 'Acme' })

  await t.test('a console that has received no change yet knows its place, and misses nothing by a loss', async t => {
    const first = await open()
    await until('the reader has its place', () => placesIn(first.text).length > 0)
    const second = await open()
    await until('it has begun', () => second.text.includes('event: hello'))
    const [hello = ''] = second.text.split('\n\n')
    const [place = ''] = placesIn(hello)
    t.ok(place, hello)
    await identity.tenants.suspend('acme', 'x')
    const again = await open({ 'last-event-id': place })
    await until('what was missed has come', () => /event: tenants\n.*"suspended"/.test(again.text))
    t.same(placesIn(again.text.split('\n\n')[0] ?? ''), [], 'no place before what was missed')
  })

  await t.test('at many changes a second each is in an event, and four events go out in a second at most', async t => {
    const read = await open()
    await until('it has begun', () => read.text.includes('event: hello'))
    const before = read.text.split('event: tenants').length
    const begun = performance.now()
    for (let at = 0; at < 100; at++) await central`update tenants set name = ${`Acme ${at}`} where id = 'acme'`
    await until('the last has come', () => read.text.includes('"Acme 99"'))
    const events = read.text.split('event: tenants').length - before
    const seconds = (performance.now() - begun) / 1000
    t.ok(events <= seconds * 4 + 1, `${events} events in ${seconds} s`)
  })

  await t.test('a console that does not read is cut off, and comes back by its place', async t => {
    // Together more than a socket's buffers and what the server keeps for one console.
    const text = 'x'.repeat(20_000)
    await central`
      insert into tenant_services (tenant_id, service, status, version, revision, updated_at, last_error)
      select 'acme', 'slow-' || n, 'failed', 1, 1, now(), ${text} from generate_series(1, 100) as n`
    const { hostname, port } = new URL(base)
    const accepted = once(identity.server, 'connection')
    const socket = connect(Number(port), hostname)
    t.teardown(() => socket.destroy())
    const [atServer] = (await accepted) as [Socket]
    socket.write(`GET /console/api/events HTTP/1.1\r\nhost: x\r\ncookie: ${headers.cookie}\r\n\r\n`)
    await once(socket, 'readable')
    // From here on it is not read.
    const other = await open()
    await until('the server has cut it off', async () => {
      await central`update tenants set name = case name when 'Acme' then 'Acme 2' else 'Acme' end where id = 'acme'`
      return atServer.destroyed
    })
    t.notOk(other.ended, 'one that reads is not')
    await central`delete from tenant_services where service like 'slow-%'`
  })
})

t.test(
  'a session that was signed out of is refused by every replica; without the central database it may read',
  async t => {
    const rig = await serviceRig(t, ['identity'])
    const environment = readEnvironment({ OPERATOR_TOKEN, REQUIRED_SERVICES: 'identity' })
    const first = await rig.service('identity', {}, { environment })
    const second = await rig.service('identity', {}, { environment })
    const page = await signIn(first, '/console', tokens.administer)
    const at = (app: FastifyInstance, url: string) => app.inject({ url: `/console/api/${url}`, headers: page.headers })
    t.equal((await at(second, 'overview')).statusCode, 200, 'the second knows the session')
    const { csrf } = (await at(second, 'session')).json().session
    const create = (app: FastifyInstance) =>
      app.inject({
        method: 'POST',
        url: '/console/api/services/identity/fleet/nothing/retry',
        headers: { ...page.headers, 'x-csrf-token': csrf },
      })
    t.equal((await create(second)).json().code, 'TENANT_NOT_FOUND', 'it may act')

    await rig.servers.postgres.identity?.stop()
    t.match(
      (await at(second, 'session')).json(),
      { session: { role: 'read' } },
      'whether it was signed out of is not known',
    )
    t.equal((await create(second)).json().code, 'OPERATOR_FORBIDDEN')
    t.equal((await page.send('DELETE', 'session')).statusCode, 200, 'and a sign-out is kept')
    t.equal((await at(first, 'overview')).statusCode, 401)
    await rig.servers.postgres.identity?.restart()
    await until('it is written', async () => (await at(second, 'overview')).statusCode === 401)
    const again = await signIn(first, '/console', tokens.read)
    t.equal((await again.send('DELETE', 'session')).statusCode, 200)
    const answer = await second.inject({ url: '/console/api/overview', headers: again.headers })
    t.equal(answer.statusCode, 401, 'at once where the database is up')
  },
)

t.test('a session ends by itself, and its event stream with it', async t => {
  const { app, base } = await alone(
    t,
    request => (request.method === 'POST' ? { name: 'Ada', role: 'read' } : undefined),
    {
      sessionHours: 4 / 3600,
    },
  )
  const { headers, get } = await signIn(app, '/operations', 'none')
  const read = await stream(t, `${base}/api/events`, headers)
  await until('it has begun', () => read.text.includes('event: hello'))
  await until('it is over', async () => (await get('overview')).statusCode === 401)
  t.same((await get('session')).json().session, null)
  await until('the stream has ended', () => read.ended)
})

t.test('a page of a signed-in operator has the role of now, and the address of the login', async t => {
  let operator: Operator | null = { name: 'Ada', role: 'administer' }
  const { app } = await alone(t, () => operator)
  const page = await signIn(app, '/operations', 'none')
  operator = { name: 'Ada', role: 'read' }
  t.match((await page.get('session')).json(), { session: { name: 'Ada', role: 'read' }, signInUrl: '/login' })
  operator = null
  t.same((await page.get('session')).json(), { session: null, signInUrl: '/login' })
})

t.test('an event stream ends when the operator is no longer authorized', async t => {
  let operator: Operator | null = { name: 'Ada', role: 'read' }
  const { app, base } = await alone(t, () => operator)
  const { headers } = await signIn(app, '/operations', 'none')
  const read = await stream(t, `${base}/api/events`, headers)
  await until('it has begun', () => read.text.includes('event: hello'))
  operator = null
  await until('it has ended', () => read.ended)
})

t.test('a console that joins while identity is down reads that at once', async t => {
  const { app, base } = await alone(t, () => ({ name: 'Ada', role: 'read' }))
  const { headers } = await signIn(app, '/operations', 'none')
  for (const place of [undefined, undefined, '7']) {
    const read = await stream(t, `${base}/api/events`, { ...headers, ...(place && { 'last-event-id': place }) })
    await until('it is lost', () => /event: lost\n.*ECONNREFUSED/.test(read.text))
    if (place === undefined) continue
    // What could not be read again makes the page read all of it, and it stays lost.
    await until('its reset has come', () => /event: reset[\s\S]*event: lost/.test(read.text))
  }
})
