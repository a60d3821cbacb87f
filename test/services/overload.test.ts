import Fastify from 'fastify'
import t from 'tap'
import overload, { underAnyPressure } from '../../plugins/overload.js'
import { answerErrors } from '../../services/http/errors.js'

t.test('an overloaded process refuses with 503 and Retry-After, but says how it is', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  answerErrors(app)
  // Any heap is too much: the simplest pressure there is.
  await app.register(overload, { maxHeapShare: 0.000001, retryAfter: 7 })
  app.get('/work', async () => 'done')
  app.get('/health', { config: { pressureHandler: underAnyPressure } }, async () => 'alive')
  await app.ready()
  let refused = await app.inject('/work')
  // The heap is measured once a second.
  for (let tries = 0; refused.statusCode === 200 && tries < 50; tries++) {
    await new Promise(resolve => setTimeout(resolve, 100))
    refused = await app.inject('/work')
  }
  t.equal(refused.statusCode, 503)
  t.equal(refused.headers['retry-after'], '7')
  t.match(refused.json(), { code: 'OVERLOADED', error: 'Service Unavailable' })
  t.equal((await app.inject('/health')).statusCode, 200)
})

t.test('a process that keeps up refuses nothing', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(overload)
  app.get('/work', async () => 'done')
  t.equal((await app.inject('/work')).statusCode, 200)
})
