// In a process of its own: it measures the event loop and the heap of its process.
import Fastify from 'fastify'
import { Registry } from 'prom-client'
import t from 'tap'
import errorAnswers from '../../plugins/errors/index.js'
import { gaugeProcess } from '../../plugins/metrics/process.js'
import overload from '../../plugins/overload.js'
import { until } from '../until.js'

t.test('an overloaded process refuses with 503 and Retry-After, but reports its health', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(errorAnswers, { documentation: '/api/docs' })
  // Any heap is too much: the simplest pressure there is.
  await app.register(overload, { maxHeapShare: 0.000001, retryAfter: 7 })
  app.get('/work', async () => 'done')
  app.get('/health', { config: { underPressure: true } }, async () => 'alive')
  await app.ready()
  const refused = await until('the heap is measured', async () => {
    const answer = await app.inject('/work')
    return answer.statusCode === 503 ? answer : null
  })
  t.equal(refused.headers['retry-after'], '7')
  t.match(refused.json(), { code: 'OVERLOADED', error: 'Service Unavailable' })
  t.equal((await app.inject('/health')).statusCode, 200)
})

t.test('an event loop that stays late is an overload, one pause of it is none', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(overload, { maxEventLoopDelay: 200 })
  app.get('/work', async () => 'done')
  await app.ready()
  const status = async () => (await app.inject('/work')).statusCode
  const pause = (ms: number) => {
    for (const end = performance.now() + ms; performance.now() < end; );
  }
  /** Longer than the time between two looks, so that one look follows at once and has seen little else. */
  const lateLook = async () => {
    pause(2_500)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await lateLook()
  t.equal(await status(), 200)
  await lateLook()
  t.equal(await status(), 503)
  await until('it serves again', async () => (await status()) === 200)
})

t.test('a process below its limits refuses nothing', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(overload)
  app.get('/work', async () => 'done')
  t.equal((await app.inject('/work')).statusCode, 200)
})

t.test('a process without a free file descriptor keeps running', async t => {
  const { memoryUsage } = process
  t.teardown(() => Object.assign(process, { memoryUsage }))
  // The failure without a free descriptor: the call reads a file.
  const failing = () => {
    throw Object.assign(new Error('EMFILE: too many open files, uv_resident_set_memory'), { code: 'EMFILE' })
  }
  Object.assign(process, { memoryUsage: Object.assign(failing, { rss: failing }) })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(overload)
  app.get('/work', async () => 'done')
  await app.ready()
  const registry = new Registry()
  const metrics = gaugeProcess(registry)
  t.teardown(metrics.stop)
  const failures: unknown[] = []
  process.on('uncaughtException', error => failures.push(error))
  // Two samples of the plugin, which takes one a second.
  await new Promise(resolve => setTimeout(resolve, 2_200))
  metrics.look()
  t.match(await registry.metrics(), /nodejs_heap_size_used_bytes [1-9]/)
  t.equal((await app.inject('/work')).statusCode, 200)
  t.same(failures, [])
})
