import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'
import { applyStatus } from '../../../services/identity/ledger.js'
import { until } from '../../until.js'
import { admin, adminToken, asAdmin, serviceRig } from '../rig.js'

interface Event {
  id: string
  event?: string
  data?: { id: string; version: number; name: string; lifecycle: string; services: Record<string, { status: string }> }
}

/** An EventSource with a token: reads blocks of lines until it is closed. */
async function listen(url: string, headers: Record<string, string> = {}) {
  const leave = new AbortController()
  const response = await fetch(url, { headers: { ...asAdmin, ...headers }, signal: leave.signal })
  const events: Event[] = []
  let ended = false
  const reading = (async () => {
    let text = ''
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map(line => line.split(/: (.*)/s).slice(0, 2)))
        if (fields.id) events.push({ ...fields, ...(fields.data && { data: JSON.parse(fields.data) }) })
      }
    }
  })().then(
    () => {
      ended = true
    },
    () => {},
  )
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    events,
    of: (id: string) => events.filter(({ data }) => data?.id === id).map(({ data }) => data),
    ended: () => ended,
    async leave() {
      leave.abort()
      await reading
    },
  }
}

t.test('the live view of tenants', async t => {
  const { service } = await serviceRig(t, ['identity'])
  const environment = readEnvironment({ EVENT_STREAMS_PER_TOKEN: '200' })
  const app = await service('identity', {}, { requiredServices: ['employee'], environment })
  const base = await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `${base}/api/tenants/events`
  const call = admin(app)
  const publish = (status: 'ready' | 'failed', revision: number) =>
    applyStatus(
      { id: 'acme' as never, service: 'employee', version: 1, revision, status, at: new Date().toISOString() },
      app.central,
    )

  await t.test('sends every change of a tenant and of its ledger, each with the whole state', async t => {
    const all = await listen(url)
    const one = await listen(`${url}?tenant=acme`)
    t.match(all, { status: 200, type: 'text/event-stream' })
    await call('POST', '/api/tenants', { id: 'acme', name: 'Acme' })
    await call('POST', '/api/tenants', { id: 'globex', name: 'Globex' })
    await until('both', () => all.of('acme').length > 0 && all.of('globex').length > 0)
    await publish('ready', 1)
    await until('ready', () => one.of('acme').at(-1)?.services.employee?.status === 'ready')
    await call('POST', '/api/tenants/acme/suspend')
    await until('suspended', () => one.of('acme').at(-1)?.lifecycle === 'suspended')
    t.same(one.of('globex'), [], 'a stream for one tenant has events of that one')
    t.equal(all.events.find(({ data }) => data)?.event, 'tenant')
    await all.leave()
    await one.leave()
  })

  await t.test('continues where a client was cut off, and misses nothing', async t => {
    const before = await listen(url)
    await call('PATCH', '/api/tenants/acme', { name: 'Acme 2' })
    await until('the change is received', () => before.of('acme').at(-1)?.name === 'Acme 2')
    const place = await until('a place', () => before.events.at(-1)?.id)
    await before.leave()
    await call('PATCH', '/api/tenants/acme', { name: 'Acme 3' })
    await call('PATCH', '/api/tenants/globex', { name: 'Globex 2' })
    await publish('failed', 2)
    const after = await listen(url, { 'last-event-id': place })
    await until('the missed events are received', () => after.of('acme').length > 0 && after.of('globex').length > 0)
    t.match(after.of('acme').at(-1), { name: 'Acme 3', services: { employee: { status: 'failed' } } })
    await after.leave()

    const restored = await listen(url, { 'last-event-id': '999999999999' })
    await until('all are received', () => restored.of('acme').length > 0 && restored.of('globex').length > 0)
    await restored.leave()
  })

  await t.test('reads changes that come one behind the other together', async t => {
    const stream = await listen(url)
    await until('it has begun', () => stream.events.length > 0)
    const marks = () => stream.events.filter(({ data }) => !data).length
    const before = marks()
    for (let n = 1; n <= 30; n++) {
      await app.central`update tenants set name = ${`Name ${n}`}, version = version + 1 where id = 'acme'`
      await app.central`select pg_sleep(0.02)`
    }
    await until('the last change is received', () => stream.of('acme').at(-1)?.name === 'Name 30')
    // One behind each look.
    t.ok(marks() - before <= 15, `${marks() - before} looks for 30 changes`)
    await stream.leave()
  })

  await t.test('is for the operator alone, and refuses malformed requests', async t => {
    t.match((await app.inject({ url: '/api/tenants/events' })).json(), { statusCode: 401, code: 'UNAUTHENTICATED' })
    t.match((await call('GET', '/api/tenants/events?tenant=Bad')).json(), { code: 'TENANT_ID_INVALID' })
    const place = await admin(app, { 'last-event-id': 'x' })('GET', '/api/tenants/events')
    t.match(place.json(), { statusCode: 400, code: 'CURSOR_INVALID' })
  })

  await t.test('holds no connection of the database, and has room for a hundred', async t => {
    const streams = await Promise.all(Array.from({ length: 100 }, () => listen(url)))
    const refused = await call('GET', '/api/tenants/events')
    t.match(refused.json(), { statusCode: 429, code: 'TOO_MANY_STREAMS', message: /All 100 .*another replica/ })
    t.equal(refused.headers['retry-after'], '10')
    t.equal((await call('GET', '/api/tenants/acme')).statusCode, 200, 'the database is there for others')
    await streams.pop()?.leave()
    const again = await until('a place is free', async () => {
      const stream = await listen(url)
      return stream.status === 200 ? stream : null
    })
    await call('PATCH', '/api/tenants/acme', { name: 'For all' })
    for (const stream of [...streams, again]) {
      await until('the change is received', () => stream.of('acme').at(-1)?.name === 'For all')
    }
    await app.close()
    await until('all have ended', () => streams.every(stream => stream.ended()))
  })
})

t.test('one token has its share of the streams, and a client that leaves frees its place', async t => {
  const { service } = await serviceRig(t, ['identity'])
  const other = 'another-token-of-the-tests'
  const environment = readEnvironment({ EVENT_STREAMS: '4', EVENT_STREAMS_PER_TOKEN: '2' })
  const app = await service('identity', {}, { environment, adminToken: `${adminToken},${other},a-third-of-the-tests` })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/api/tenants/events`
  const as = (token: string) => ({ authorization: `Bearer ${token}` })
  const refusal = async (headers: Record<string, string>) => (await fetch(url, { headers })).json()

  const mine = [await listen(url), await listen(url, { authorization: `bearer  ${adminToken}` })]
  t.same(
    mine.map(({ status }) => status),
    [200, 200],
  )
  t.match(await refusal(asAdmin), { statusCode: 429, code: 'TOO_MANY_STREAMS', message: /Your token has 2 / })
  const theirs = [await listen(url, as(other)), await listen(url, as(other))]
  t.same(
    theirs.map(({ status }) => status),
    [200, 200],
    'another has its own share',
  )
  t.match(await refusal(as('a-third-of-the-tests')), {
    statusCode: 429,
    message: /All 4 event streams of this process/,
  })

  await mine.pop()?.leave()
  await until('the place is freed', async () => (await listenOnce(url, as('a-third-of-the-tests'))) === 200)
  // Some leave before they are answered: none of them may keep a place.
  for (let n = 0; n < 40; n++) {
    const leave = new AbortController()
    const asked = fetch(url, { headers: asAdmin, signal: leave.signal }).catch(() => null)
    setTimeout(() => leave.abort(), n % 5)
    await asked
  }
  await until('all their places are freed', async () => (await listenOnce(url)) === 200)
  for (const stream of [...mine, ...theirs]) await stream.leave()
  // Some left before they had sent anything: to Node such a connection is not idle for a minute, and `close` waits
  // for it. A service's process cuts them (serve.ts).
  app.server.closeAllConnections()
})

t.test('the removal of a token ends the streams it opened', async t => {
  const { service } = await serviceRig(t, ['identity'])
  const folder = mkdtempSync(join(tmpdir(), 'admin-token-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const adminTokenFile = join(folder, 'token')
  const next = 'the-next-token-of-the-tests'
  const write = (text: string) => writeFileSync(adminTokenFile, text)
  write(`${adminToken}\n`)
  let log = ''
  const stream = {
    write(line: string) {
      log += line
    },
  }
  const options = { adminTokenFile, adminTokenLook: 50, logger: { level: 'info', stream } }
  const app = await service('identity', {}, options)
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/api/tenants/events`
  const renewed = { authorization: `Bearer ${next}` }
  const old = await listen(url)
  t.equal(old.status, 200)
  t.equal((await listen(url, renewed)).status, 401)

  write(`${next},${adminToken}`)
  await until('both are good', async () => (await listenOnce(url, renewed)) === 200)
  const fresh = await listen(url, renewed)
  t.equal(fresh.status, 200)
  t.notOk(old.ended(), 'while both are good neither stream ends')

  for (const useless of ['', 'short', 'with a blank in it and long']) {
    write(useless)
    const before = log.length
    await until('the fault is logged', () => /holds no tokens/.test(log))
    t.notOk(log.slice(before).includes(useless || next))
    t.equal(await listenOnce(url), 200, 'a file without tokens removes none')
  }
  rmSync(adminTokenFile)
  await until('the loss is logged', () => /ENOENT/.test(log))
  t.equal(await listenOnce(url, renewed), 200)

  write(next)
  await until('the old one has ended', () => old.ended())
  t.equal(await listenOnce(url), 401)
  t.notOk(fresh.ended(), 'the other continues')
  t.notOk(log.includes(next) || log.includes(adminToken))
  await fresh.leave()
})

/** The status of a stream that is closed again. */
async function listenOnce(url: string, headers?: Record<string, string>): Promise<number> {
  const stream = await listen(url, headers)
  await stream.leave()
  return stream.status
}
