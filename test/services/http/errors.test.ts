import createError from '@fastify/error'
import { registerAjvFormats } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { TenantBusy, TenantClientReleased } from '../../../plugins/distributed-tenant/index.js'
import { answerErrors } from '../../../services/http/errors.js'
import { email, errors, text } from '../../../services/http/schemas.js'
import { compileRequest } from '../../../services/http/validation.js'

registerAjvFormats()

function app(t: Test, failure?: unknown) {
  const app = Fastify({ genReqId: () => 'request-7' })
  t.teardown(() => app.close())
  app.setValidatorCompiler(compileRequest)
  answerErrors(app)
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
  for (const state of ['22003', '22007', '22008', '22021', '22P05', '54000', '54001']) {
    const response = await app(t, Object.assign(new Error('about the row'), { code: state })).inject('/')
    t.match(response.json(), { statusCode: 400, code: 'REQUEST_INVALID' }, state)
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
