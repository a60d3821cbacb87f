// Every way in which a request can end, over a real socket or injected: its lease is returned within a second, and
// later queries of its handler are never sent.
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { distributedTenant } from '../../../../plugins/distributed-tenant/index.js'
import { codeOf, nothingUncaught } from '../../../postgres/stand.js'
import { notes, rig } from '../../../rig.js'
import { until } from '../../../until.js'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

/** A request as bytes, so that it can be cut at any point. */
const raw = (path: string, more = '', body = '') =>
  `${body ? 'POST' : 'GET'} ${path} HTTP/1.1\r\nHost: x\r\nHRMS-Client-ID: acme\r\n${more}\r\n${body}`

t.test('a request', async t => {
  nothingUncaught(t)
  const { app: build, database, look } = await rig(t, ['employee'])
  const late: Promise<unknown>[] = []
  const signal = { reached: new Set<string>(), go: () => {} }
  const arm = () => {
    signal.reached.clear()
    late.length = 0
    return new Promise<void>(resolve => {
      signal.go = resolve
    })
  }
  let gate = arm()
  const routes: Record<string, Handler> = {
    reply: request => request.sql`select 1 as a`,
    async 'throw-before'() {
      throw new Error('before its query')
    },
    async 'throw-after'(request) {
      await request.sql`select 1`
      throw new Error('after its query')
    },
    async 'wait-then-late'(request) {
      const { sql } = request
      await sql`select 1`
      signal.reached.add('wait-then-late')
      await gate
      late.push(
        codeOf(sql`insert into notes (body) values ('late')`),
        codeOf(request.sql`insert into notes (body) values ('late too')`),
        codeOf(sql.begin(sql => sql`insert into notes (body) values ('latest')`)),
      )
      return 'done'
    },
    async 'query-runs'(request) {
      signal.reached.add('query-runs')
      await request.sql`select pg_sleep(20)`
    },
    async 'transaction-open'(request) {
      await request.sql.begin(async sql => {
        await sql`insert into notes (body) values ('uncommitted')`
        signal.reached.add('transaction-open')
        await gate
        late.push(codeOf(sql`insert into notes (body) values ('late in a transaction')`))
      })
    },
    never(request) {
      signal.reached.add('never')
      request.sql`select 1`.execute()
      return new Promise(() => {})
    },
    async stream(request, reply) {
      await request.sql`select 1`
      const rows = request.sql<
        { body: string }[]
      >`select repeat('x', 10000) as body from generate_series(1, 100000)`.cursor(10)
      signal.reached.add('stream')
      return reply.type('text/plain').send(Readable.from(bodies(rows)))
    },
    async sse(request, reply) {
      await request.sql`select 1`
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.raw.write('data: 1\n\n')
      signal.reached.add('sse')
      await gate
      late.push(codeOf(request.sql`insert into notes (body) values ('late in sse')`))
    },
    async hijack(request, reply) {
      reply.hijack()
      await request.sql`select 1`
      reply.raw.end('mine')
    },
    async destroy(request, reply) {
      await request.sql`select 1`
      reply.raw.destroy()
    },
    async 'fire-and-forget'(request) {
      request.sql`select pg_sleep(20)`.execute()
      await request.sql`select 1`
      return 'done'
    },
  }
  const app = await build('employee', { maxConnections: 8, maxConnectionsPerTenant: 8 }, app => {
    for (const [name, handler] of Object.entries(routes)) {
      app.route({ method: ['GET', 'POST'], url: `/${name}`, handler, config: { tenant: 'required' } })
    }
    app.get('/timeout', { handlerTimeout: 1_000, config: { tenant: 'required' } }, routes['wait-then-late'] as Handler)
    // As @fastify/websocket routes an upgrade.
    app.server.on('upgrade', (request, socket) => {
      const response = new http.ServerResponse(request)
      response.assignSocket(socket as net.Socket)
      socket
        .on('error', () => {})
        .on('end', () => socket.destroy())
        .resume()
      app.routing(request, response)
    })
  })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = new URL(address)
  const inner = look('employee', 'tenant_acme_employee')

  const quiet = async (app: FastifyInstance): Promise<void> => {
    await until(() => {
      const { inUse, waiting } = app.tenants.connectionInfo()
      return inUse === 0 && waiting === 0
    })
  }
  /** After the request is over its handler continues, and must be refused. */
  const refusedLate = async (t: Test, expected = 3): Promise<void> => {
    signal.go()
    await until(() => late.length === expected)
    t.same(await Promise.all(late), Array(expected).fill('TENANT_CLIENT_RELEASED'))
    t.same([...(await inner`select body from notes`)], [], 'and nothing reached the database')
  }
  const connect = async (): Promise<net.Socket> => {
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  const answer = async (path: string): Promise<number> => {
    const response = await new Promise<http.IncomingMessage | null>(resolve => {
      http
        .get(`${address}${path}`, { agent: false, headers: { 'hrms-client-id': 'acme' } }, resolve)
        .on('error', () => resolve(null))
    })
    response?.resume()
    if (response) await once(response, 'close')
    return response?.statusCode ?? 0
  }
  /** Until the server has closed the connection of every client. */
  const connections = () => new Promise<number>(resolve => app.server.getConnections((_, count) => resolve(count)))
  const alone = () => until(async () => (await connections()) === 0)
  /** Sends a request and disconnects in the given way once the handler runs. */
  const leaveDuring = async (request: string, leave: (socket: net.Socket) => void): Promise<void> => {
    const socket = await connect()
    socket.write(request)
    await until(() => signal.reached.size > 0)
    leave(socket)
    await alone()
  }
  const cut = (socket: net.Socket): void => {
    socket.resetAndDestroy()
  }
  const close = (socket: net.Socket): void => {
    socket.destroy()
  }
  const ending = (name: string, work: (t: Test) => Promise<void>) =>
    t.test(name, async t => {
      gate = arm()
      await work(t)
      signal.go()
      await quiet(app)
    })

  await ending('that is answered', async t => void t.equal(await answer('/reply'), 200))
  await ending('that throws before its query', async t => void t.equal(await answer('/throw-before'), 500))
  await ending('that throws after its query', async t => void t.equal(await answer('/throw-after'), 500))
  await ending('that is hijacked and ended by hand', async t => void t.equal(await answer('/hijack'), 200))
  await ending('whose response is destroyed by the handler', async t => void t.equal(await answer('/destroy'), 0))

  for (const [how, leave] of Object.entries({
    resets: cut,
    closes: close,
    'half closes and closes': (socket: net.Socket): void => {
      socket.end().destroySoon()
    },
  })) {
    await ending(`whose client ${how} in the handler`, async t => {
      await leaveDuring(raw('/wait-then-late'), leave)
      await quiet(app)
      await refusedLate(t)
    })
  }
  await ending('whose client leaves while a hook before ours takes its time', async t => {
    const early = Fastify()
    t.teardown(() => early.close())
    let pass: (() => void) | undefined
    early.addHook(
      'onRequest',
      () =>
        new Promise<void>(resolve => {
          pass = resolve
        }),
    )
    await early.register(distributedTenant, {
      service: 'employee',
      database: database('employee'),
      migrations: { tenant: notes },
      nats: null,
      redis: null,
      source: false,
    })
    let outcome: unknown
    // As an authorising hook would; Fastify itself stops before the handler.
    early.addHook('onRequest', async request => {
      outcome = await codeOf(request.sql`insert into notes (body) values ('early')`)
    })
    early.get('/', { config: { tenant: 'required' } }, async () => 'unheard')
    await early.listen({ port: 0, host: '127.0.0.1' })
    const socket = net.connect((early.server.address() as net.AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(raw('/'))
    await until(() => pass !== undefined)
    cut(socket)
    await until(() => new Promise(resolve => early.server.getConnections((_, count) => resolve(count === 0))))
    pass?.()
    await quiet(early)
    await until(() => outcome !== undefined)
    t.equal(outcome, 'TENANT_CLIENT_RELEASED')
    t.equal(early.tenants.connectionInfo().open, 0, 'and no connection was opened for it')
    t.same([...(await inner`select body from notes`)], [])
  })
  await ending('whose client leaves after the body of a POST', async t => {
    const body = '{"a":1}'
    await leaveDuring(
      raw('/wait-then-late', `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`, body),
      cut,
    )
    await quiet(app)
    await refusedLate(t)
  })
  await ending('whose client leaves in the middle of its body', async () => {
    const socket = await connect()
    socket.write(raw('/reply', 'Content-Type: application/json\r\nContent-Length: 100\r\n', '{"a":'))
    cut(socket)
    await quiet(app)
  })
  await ending('whose client leaves in the middle of a stream', async () => {
    const socket = await connect()
    socket.write(raw('/stream'))
    await once(socket, 'data')
    cut(socket)
    await quiet(app)
  })
  await ending('whose client stops reading a stream and then leaves', async () => {
    const socket = await connect()
    socket.write(raw('/stream'))
    socket.pause()
    await until(() => signal.reached.size > 0)
    close(socket)
    await quiet(app)
  })
  await ending('of server-sent events whose client leaves', async t => {
    await leaveDuring(raw('/sse'), cut)
    await quiet(app)
    await refusedLate(t, 1)
  })
  await ending('whose handler never settles, and whose client leaves', async () => {
    await leaveDuring(raw('/never'), cut)
    await quiet(app)
  })
  await ending('with a query running: it costs its connection, and the backend is gone', async () => {
    const sleeping = () => inner`select 1 from pg_stat_activity where query like '%pg_sleep(20)' and state = 'active'`
    const socket = await connect()
    socket.write(raw('/query-runs'))
    await until(async () => (await sleeping()).length === 1)
    cut(socket)
    await quiet(app)
    await until(async () => (await sleeping()).length === 0)
  })
  await ending('with a transaction open: nothing of it is committed', async t => {
    await leaveDuring(raw('/transaction-open'), cut)
    await quiet(app)
    await refusedLate(t, 1)
  })
  await ending('with a query that is never awaited', async t => {
    t.equal(await answer('/fire-and-forget'), 200)
    await until(
      async () =>
        (await inner`select 1 from pg_stat_activity where query like '%pg_sleep(20)' and state = 'active'`).length ===
        0,
    )
  })
  await ending('in a pipeline whose client leaves', async t => {
    const socket = await connect()
    socket.write(raw('/wait-then-late') + raw('/reply') + raw('/query-runs'))
    await until(() => signal.reached.has('wait-then-late') && signal.reached.has('query-runs'))
    cut(socket)
    await quiet(app)
    await refusedLate(t)
  })
  await ending('that became a web socket, and whose client leaves', async t => {
    const socket = await connect()
    socket.write(raw('/sse', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
    await once(socket, 'data')
    await until(() => signal.reached.has('sse'))
    const before = await connections()
    socket.destroy()
    await until(async () => (await connections()) < before)
    await quiet(app)
    await refusedLate(t, 1)
  })
  await ending('past its handlerTimeout', async t => {
    t.equal(await answer('/timeout'), 503)
    await quiet(app)
    await refusedLate(t)
  })
  await ending('that is injected', async t => {
    const response = await app.inject({ url: '/reply', headers: { 'hrms-client-id': 'acme' } })
    t.same([response.statusCode, response.json()], [200, [{ a: 1 }]])
  })
  await ending('that is injected and aborted', async t => {
    const controller = new AbortController()
    const injected = app.inject({
      url: '/wait-then-late',
      headers: { 'hrms-client-id': 'acme' },
      signal: controller.signal,
    })
    await until(() => signal.reached.size > 0)
    controller.abort()
    await injected.catch(() => {})
    await quiet(app)
    await refusedLate(t)
  })
  await t.test('each leaves as many connections as there were', async t => {
    gate = arm()
    signal.go()
    for (let at = 0; at < 60; at++) {
      const socket = await connect()
      socket.write(raw(at % 2 ? '/reply' : '/query-runs'))
      setImmediate(() => (at % 3 ? cut(socket) : close(socket)))
    }
    await quiet(app)
    await until(() => app.tenants.connectionInfo().open <= 8)
    t.equal((await app.inject({ url: '/reply', headers: { 'hrms-client-id': 'acme' } })).statusCode, 200)
    await quiet(app)
  })
  await t.test('releases its client in an onResponse hook that routes without a tenant do not have', async t => {
    const hooks: Record<string, number> = {}
    const other = await build('employee', {}, app => {
      app.addHook('onRoute', ({ url, onResponse }) => {
        hooks[url] = [onResponse ?? []].flat().length
      })
      app.get('/with', { config: { tenant: 'required' }, onResponse: async () => {} }, async () => 'a')
      app.get('/either', async () => 'a')
      app.get('/without', { config: { tenant: false } }, async () => 'a')
    })
    t.same(hooks, { '/with': 2, '/either': 1, '/without': 0 })
    await other.close()
  })
})

async function* bodies(rows: AsyncIterable<{ body: string }[]>) {
  for await (const batch of rows) for (const { body } of batch) yield body
}
