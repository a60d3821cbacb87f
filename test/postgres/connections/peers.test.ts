// A peer at the server's address that is no PostgreSQL, or refuses the login: one clear failure each, within its
// deadline.
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { until } from '../../until.js'
import { codeOf, gate, stand } from '../stand.js'

/** A peer that runs `greet` for each connection; counts them. */
async function peer(t: Test, greet: (socket: net.Socket) => void) {
  const sockets = new Set<net.Socket>()
  const counter = { connects: 0 }
  const server = net.createServer(socket => {
    counter.connects++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    greet(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return Object.assign(counter, { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port })
}

t.test('a peer', async t => {
  const { pool: build, look, databases, server } = await stand(t)
  const [one, two, narrow] = (await databases(3)) as [string, string, string]

  const hostile: Record<string, (socket: net.Socket) => void> = {
    'accepts and closes': socket => socket.end(),
    'accepts and resets': socket => socket.resetAndDestroy(),
    'says nothing': () => {},
    'speaks HTTP': socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'speaks garbage': socket => socket.write(Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 89) % 256))),
    'closes after the first bytes': socket => socket.once('data', () => socket.end()),
    'wants TLS and then closes': socket => socket.once('data', () => socket.end('S')),
    'refuses TLS and says nothing more': socket => socket.once('data', () => socket.write('N')),
  }
  for (const tls of [false, 'prefer', 'require'] as const) {
    for (const [name, greet] of Object.entries(hostile)) {
      await t.test(`that ${name} (TLS: ${tls}) costs one connect and one 503 after the connect timeout`, async t => {
        const address = await peer(t, greet)
        const { host, port } = address
        const { client, pool } = build({ connectTimeout: 400, acquireTimeout: 3_600_000, target: { host, port, tls } })
        const outcomes = await Promise.all([1, 2, 3].map(() => codeOf(client(one).sql`select 1`)))
        t.same(outcomes, Array(3).fill('TENANT_DATABASE_UNAVAILABLE'))
        t.ok(address.connects <= 3, `${address.connects} connects`)
        await until(() => pool.info().open === 0)
        t.equal(pool.info().keys.size, 0)
      })
    }
  }

  await t.test('that sends any bytes never hangs the pool and never ends the process', async t => {
    let bytes = Buffer.alloc(0)
    const { host, port } = await peer(t, socket => {
      socket.end(bytes)
    })
    const quiet = console.error
    console.error = () => {}
    t.teardown(() => {
      console.error = quiet
    })
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async sent => {
        bytes = Buffer.from(sent)
        const { client } = build({ connectTimeout: 500, target: { host, port } })
        if ((await codeOf(client(one).sql`select 1`)) !== 'TENANT_DATABASE_UNAVAILABLE')
          throw new Error('another answer')
      }),
      { numRuns: 100 },
    )
  })

  await t.test('that does not listen is reported at once', async () => {
    const { client } = build({ target: { port: 1 } })
    t.equal(await codeOf(client(one).sql`select 1`), 'TENANT_DATABASE_UNAVAILABLE')
  })

  await t.test('that refuses the login: a wrong password', async t => {
    const { client } = build({ target: { password: 'wrong' } })
    const error = await client(one).sql`select 1`.catch((error: Error) => error)
    t.match(error, { code: 'TENANT_DATABASE_UNAVAILABLE', statusCode: 503, cause: { code: '28P01' } })
    t.notMatch(JSON.stringify(error), /28P01|password/)
  })

  await t.test('without this database: that tenant alone has a 503, and no database is created', async t => {
    const { client, pool } = build()
    t.equal(await codeOf(client('tenant_none_x').sql`select 1`), 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(await codeOf(client(one).sql`select 1`), 'no error')
    t.equal((await look`select 1 from pg_database where datname = 'tenant_none_x'`).length, 0)
    t.equal(pool.info().open, 1)
    await look.unsafe('create database tenant_none_x')
    t.equal(await codeOf(client('tenant_none_x').sql`select 1`), 'no error', 'and the database is used once it exists')
  })

  await t.test(
    'whose database allows one connection: that tenant is served by it, and others are not affected',
    async t => {
      await look.unsafe(
        `create role plain login password 'plain'; grant connect on database ${narrow}, ${two} to plain`,
      )
      await look.unsafe(`alter database ${narrow} connection limit 1`)
      const { client, pool, reports } = build({ perKey: 5, target: { user: 'plain', password: 'plain' } })
      const failed = () => reports.filter(({ type }) => type === 'open_failed').length
      const { passed, open } = gate()
      const holding = codeOf(client(narrow).sql.begin(() => passed))
      const others = Array.from({ length: 9 }, () => codeOf(client(narrow).sql`select pg_sleep(0.03)`))
      await until(() => failed() > 0)
      open()
      t.same(await Promise.all([holding, ...others]), Array(10).fill('no error'))
      await until(() => pool.info().keys.get(narrow)?.open === 1)
      t.ok(failed() <= 4, 'and the server is not asked repeatedly')
      await look.unsafe(`alter database ${narrow} connection limit 0`)
      await pool.evict(narrow)
      t.equal(await codeOf(client(narrow).sql`select 1`), 'TENANT_DATABASE_UNAVAILABLE')
      t.equal(await codeOf(client(two).sql`select 1`), 'no error')
    },
  )

  await t.test('that freezes during the connect costs the connect timeout', async t => {
    const { client, pool } = build({ connectTimeout: 300 })
    server.freeze()
    const started = performance.now()
    t.equal(await codeOf(client(one).sql`select 1`), 'TENANT_DATABASE_UNAVAILABLE')
    const took = performance.now() - started
    server.thaw()
    t.ok(took >= 290, `${Math.round(took)} ms`)
    await until(() => pool.info().open === 0)
  })
})
