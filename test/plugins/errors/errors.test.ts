import createError from '@fastify/error'
import { registerAjvFormats } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { TenantBusy, TenantClientReleased } from '../../../plugins/distributed-tenant/index.js'
import errorAnswers, { answer } from '../../../plugins/errors/index.js'
import { email, errors, text } from '../../../services/http/schemas.js'
import { compileRequest } from '../../../services/http/validation.js'

registerAjvFormats()

function app(t: Test, failure?: unknown) {
  const app = Fastify({ genReqId: () => 'request-7' })
  t.teardown(() => app.close())
  app.setValidatorCompiler(compileRequest)
  app.register(errorAnswers, { documentation: '/api/docs' })
  app.get('/', { schema: { response: errors(400, 404) } }, async () => {
    throw failure
  })
  const body = Type.Object(
    { name: text(10), email: Type.Optional(email), role: Type.Optional(Type.Enum(['admin', 'member'])) },
    { additionalProperties: false },
  )
  app.post('/', { schema: { body } }, async () => 'accepted')
  return app
}

t.test('an error of the service keeps its status, code and cure', async t => {
  const Gone = createError('THING_NOT_FOUND', 'No such thing: check the id.', 404)
  const response = await app(t, new Gone()).inject('/')
  t.equal(response.statusCode, 404)
  t.same(response.json(), {
    statusCode: 404,
    code: 'THING_NOT_FOUND',
    error: 'Not Found',
    message: 'No such thing: check the id.',
  })
})

t.test('a busy tenant gets the time of the next try', async t => {
  const response = await app(t, new TenantBusy()).inject('/')
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '1')
})

t.test('a programming error with a code keeps its code', async t => {
  const response = await app(t, new TenantClientReleased()).inject('/')
  t.match(response.json(), { statusCode: 500, code: 'TENANT_CLIENT_RELEASED' })
})

t.test('the text of an unknown error is not sent', async t => {
  const secret = Object.assign(new Error('password=hunter2'), {
    code: 'XX000',
    detail: 'Key (email)=(ada@example.com)',
  })
  const response = await app(t, secret).inject('/')
  t.equal(response.statusCode, 500)
  t.match(response.json(), { code: 'INTERNAL_ERROR', message: /request-7/ })
  t.notMatch(response.body, /hunter2|ada@/)
})

t.test('a thrown non-error is an internal error too', async t => {
  for (const thrown of ['text', undefined, null]) {
    const response = await app(t, thrown).inject('/')
    t.equal(response.statusCode, 500)
    t.equal(response.json().code, 'INTERNAL_ERROR')
  }
})

t.test('a lost central database is 503 with Retry-After', async t => {
  for (const code of ['ECONNREFUSED', '57P01', '57P03', 'CONNECTION_CLOSED', 'CONNECT_TIMEOUT', '53300', '08006']) {
    const response = await app(t, Object.assign(new Error('10.0.0.7 refused'), { code })).inject('/')
    t.match(response.json(), { statusCode: 503, code: 'CENTRAL_DATABASE_UNAVAILABLE' }, code)
    t.ok(response.headers['retry-after'])
    t.notMatch(response.body, /10\.0/)
  }
})

t.test('a shortage or conflict at the server is 503 with Retry-After', async t => {
  const cases: [readonly string[], string][] = [
    [['53000', '53100', '53200', '53400', '58000', '58030'], 'DATABASE_EXHAUSTED'],
    [['40001', '40P01', '55P03'], 'TRANSACTION_CONFLICT'],
    [['53300', '25006', '57P04', '57P05'], 'CENTRAL_DATABASE_UNAVAILABLE'],
  ]
  for (const [states, code] of cases) {
    for (const state of states) {
      const response = await app(t, Object.assign(new Error('of base/16384/2619'), { code: state })).inject('/')
      t.match(response.json(), { statusCode: 503, code }, state)
      t.ok(response.headers['retry-after'], state)
      t.notMatch(response.body, /16384/)
    }
  }
})

t.test('a value that no column can hold is the caller’s error', async t => {
  for (const state of ['22001', '22003', '22007', '22008', '22021', '22P02', '22P05', '54000', '54001']) {
    const response = await app(t, Object.assign(new Error('about the row'), { code: state })).inject('/')
    t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID' }, state)
  }
})

t.test('a constraint that no service has named is the caller’s error, in words of our own', async t => {
  const cases: [readonly string[], number, string][] = [
    [['23505', '23P01', 'P2002'], 409, 'ALREADY_EXISTS'],
    [['23503', '23001', 'P2003'], 409, 'REFERENCE_BROKEN'],
    [['23502', '23514', 'P2011'], 422, 'VALUE_REFUSED'],
  ]
  for (const [states, statusCode, code] of cases) {
    for (const state of states) {
      const refused = Object.assign(new Error('violates "users_email_key"'), {
        code: state,
        detail: 'Key (email)=(ada)',
      })
      const wrapped = new Error('Failed query: insert … params: ada', { cause: refused })
      for (const failure of [refused, wrapped, new Error('again', { cause: wrapped })]) {
        const response = await app(t, failure).inject('/')
        t.match(response.json(), { statusCode, code, message: /: .*\.$/ }, state)
        t.notMatch(response.body, /email|ada|violates|insert/)
      }
    }
  }
})

t.test('an ORM’s error is answered as the tenant plugin’s error that caused it', async t => {
  const response = await app(t, new Error('Failed query', { cause: new TenantBusy() })).inject('/')
  t.match(response.json(), { statusCode: 503, code: 'TENANT_BUSY' })
  t.ok(response.headers['retry-after'])
})

t.test('the cause of another failure decides nothing: it is 500', async t => {
  const Gone = createError('THING_NOT_FOUND', 'No such thing: check the id.', 404)
  const around = Object.assign(new Error('loops'), { code: 'NO_STATE' }) as Error & { cause?: unknown }
  around.cause = around
  const causes = [new Gone(), Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), 'a text']
  for (const failure of [...causes.map(cause => new Error('fetch failed', { cause })), around]) {
    t.match((await app(t, failure).inject('/')).json(), { statusCode: 500, code: 'INTERNAL_ERROR' })
  }
})

t.test('without documentation no message refers to it', async t => {
  const app = Fastify({ frameworkErrors: answer })
  t.teardown(() => app.close())
  await app.register(errorAnswers)
  const body = { type: 'object', required: ['name'] }
  app.post('/', { schema: { body } }, async () => 'accepted')
  for (const inject of [
    { url: '/nowhere' },
    { url: '/', method: 'POST', payload: {} },
    { url: '/%E0%A4%A' },
  ] as const) {
    const { message, statusCode } = (await app.inject(inject)).json()
    t.ok(statusCode >= 400 && statusCode < 500)
    t.match(message, /: .*\.$|: correct it\.$/)
    t.notMatch(message, /docs/)
  }
})

t.test('a body that breaks its schema names the field and the rule', async t => {
  const cases: [object, RegExp][] = [
    [{}, /^body must have required properties name/],
    [{ name: '' }, /^body\/name must/],
    [{ name: '   ' }, /^body\/name must match pattern/],
    [{ name: 'a\0b' }, /^body\/name must match pattern/],
    [{ name: 5 }, /^body\/name must be string/],
    [{ name: 'a', email: 'x' }, /^body\/email must match format "email"/],
    [{ name: 'a', role: 'king' }, /^body\/role .*\(admin, member\)/],
    [{ name: 'a', extra: 1 }, /^body must not have additional properties \(extra\)/],
    [[], /^body must be object/],
  ]
  for (const [payload, message] of cases) {
    const response = await app(t).inject({ method: 'POST', url: '/', payload })
    t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID', error: 'Bad Request', message })
    t.match(response.json().message, /correct it as \/api\/docs says\.$/)
  }
})

t.test('a refused value is not echoed', async t => {
  const response = await app(t).inject({ method: 'POST', url: '/', payload: { name: 'a', email: '<script>' } })
  t.notMatch(response.body, /script/)
})

t.test('a refusal by Fastify has a cure', async t => {
  const cases: [string, string, number][] = [
    ['{', 'application/json', 400],
    ['', 'application/json', 400],
    ['<a/>', 'application/xml', 415],
  ]
  for (const [payload, type, statusCode] of cases) {
    const response = await app(t).inject({ method: 'POST', url: '/', payload, headers: { 'content-type': type } })
    t.match(response.json(), { statusCode, code: /^FST_ERR_CTP_/, message: /: send .*\.$/ })
  }
})

t.test('an unknown route points to the documentation', async t => {
  const response = await app(t).inject('/nowhere')
  t.match(response.json(), { statusCode: 404, code: 'ROUTE_NOT_FOUND', error: 'Not Found', message: /\/api\/docs/ })
})
