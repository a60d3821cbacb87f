import { Writable } from 'node:stream'
import { DrizzleQueryError } from 'drizzle-orm'
import Fastify from 'fastify'
import t from 'tap'
import { errors, logFormat } from '../../../plugins/errors/index.js'

async function logOf(failure: unknown): Promise<{ log: string; status: number }> {
  let log = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log += chunk
      done()
    },
  })
  const app = Fastify({ logger: { ...logFormat, level: 'debug', stream } })
  app.register(errors)
  app.get('/', () => Promise.reject(failure))
  const { statusCode: status } = await app.inject('/')
  await app.close()
  return { log, status }
}

const missing = () => Object.assign(new Error('relation "notes" does not exist'), { code: '42P01' })

t.test('an ORM’s error is logged as PostgreSQL’s error that caused it, without its parameters', async t => {
  const { log, status } = await logOf(new DrizzleQueryError('insert into notes values ($1)', ['a secret'], missing()))
  t.equal(status, 500)
  t.match(log, /relation \\"notes\\" does not exist/)
  t.match(log, /42P01/)
  t.notMatch(log, /a secret/)
})

t.test('another error is logged with its own message and that of its cause', async t => {
  const { log } = await logOf(new Error('the mail was not sent', { cause: new Error('the relay refused it') }))
  t.match(log, /the mail was not sent/)
  t.match(log, /the relay refused it/)
})
