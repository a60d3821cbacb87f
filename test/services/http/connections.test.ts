import { connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import { readEnvironment } from '../../../plugins/distributed-tenant/index.js'
import { connectionLimit, limitConnections } from '../../../services/http/connections.js'
import { until } from '../../until.js'

interface Line {
  msg: string
  refused?: number
  maxConnections?: number
}

t.test('connections over the bound are refused, logged once, and freed room is used again', async t => {
  const lines: Line[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(JSON.parse(line)) } } })
  limitConnections(app, 3)
  app.get('/', async () => 'served')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  const sockets: Socket[] = []
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await app.close()
  })
  const open = () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    sockets.push(socket)
    return new Promise<string>(resolve => {
      socket.once('data', data => resolve(String(data).split('\r\n', 1)[0] as string))
      socket.once('close', () => resolve('closed'))
      socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    })
  }
  for (let n = 0; n < 3; n++) t.equal(await open(), 'HTTP/1.1 200 OK')
  for (let n = 0; n < 20; n++) t.equal(await open(), 'closed')
  const seen = lines.filter(({ msg }) => msg.startsWith('HTTP connections were refused'))
  t.match(seen, [{ refused: 1, maxConnections: 3 }])
  t.equal(seen.length, 1)
  sockets[0]?.destroy()
  await until('there is room', async () => (await open()) === 'HTTP/1.1 200 OK')
  app.server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  app.server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  t.equal(lines.filter(({ msg }) => msg === 'HTTP connections cannot be accepted').length, 1, 'and nothing was thrown')
})

t.test('a port in use is an error of listen, and not logged here', async t => {
  const [first, second] = [Fastify(), Fastify()]
  t.teardown(() => Promise.all([first.close(), second.close()]))
  await first.listen({ port: 0, host: '127.0.0.1' })
  limitConnections(second, 3)
  const { port } = first.server.address() as { port: number }
  await t.rejects(second.listen({ port, host: '127.0.0.1' }), { code: 'EADDRINUSE' })
})

t.test('the bound follows from the file limit of the process', async t => {
  const budget = readEnvironment({ DISTRIBUTED_MAX_CONNECTIONS: '50' })
  t.equal(connectionLimit(budget, 1_048_576), 10_000)
  t.equal(connectionLimit(budget, Number.POSITIVE_INFINITY), 10_000)
  t.equal(connectionLimit(budget, 1_024), 724)
  t.equal(connectionLimit(budget, 256), 100)
  t.equal(connectionLimit(readEnvironment({ HTTP_MAX_CONNECTIONS: '7' }), 1_024), 7)
  const own = connectionLimit(budget)
  t.ok(own >= 100 && own <= 10_000, 'of this process')
})
