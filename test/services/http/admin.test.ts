import Fastify from 'fastify'
import t, { type Test } from 'tap'
import errorAnswers from '../../../plugins/errors/index.js'
import { requireAdmin } from '../../../services/http/admin.js'

const token = 'a-token-of-the-operator'

function app(t: Test, expected: string | undefined) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(errorAnswers, { documentation: '/api/docs' })
  app.addHook('onRequest', requireAdmin(expected))
  app.get('/', async () => 'in')
  return app
}

t.test('the bearer of the token passes', async t => {
  const response = await app(t, token).inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
  t.equal(response.statusCode, 200)
})

t.test('the scheme may be written in any case', async t => {
  const response = await app(t, token).inject({ url: '/', headers: { authorization: `bearer ${token}` } })
  t.equal(response.statusCode, 200)
})

t.test('any other caller is refused', async t => {
  const wrong = [undefined, '', token, `Basic ${token}`, 'Bearer', 'Bearer ', `Bearer ${token}x`, `Bearer x${token}`]
  for (const authorization of wrong) {
    const headers = authorization === undefined ? {} : { authorization }
    const response = await app(t, token).inject({ url: '/', headers })
    t.equal(response.statusCode, 401, String(authorization))
    t.equal(response.json().code, 'UNAUTHENTICATED')
    t.match(response.headers['www-authenticate'], /^Bearer/)
  }
})

t.test('without a token configured every caller is refused', async t => {
  for (const expected of [undefined, '']) {
    for (const authorization of ['Bearer ', 'Bearer undefined', `Bearer ${token}`]) {
      const response = await app(t, expected).inject({ url: '/', headers: { authorization } })
      t.equal(response.statusCode, 401)
    }
  }
})

t.test('while a token is replaced the old and the new one pass, and nothing between them', async t => {
  const next = 'the-next-token-of-the-operator'
  const both = app(t, `${token},${next}`)
  const ask = (bearer: string) => both.inject({ url: '/', headers: { authorization: `Bearer ${bearer}` } })
  for (const one of [token, next]) t.equal((await ask(one)).statusCode, 200)
  for (const none of [`${token},${next}`, ',', `${token}${next}`]) t.equal((await ask(none)).statusCode, 401)
})
