import Fastify from 'fastify'
import t, { type Test } from 'tap'
import openapi from '../../plugins/openapi.js'

async function app(t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(openapi, { title: 'employee-service', version: '1', tenantHeader: 'X-Tenant' })
  app.get('/api/employees', { config: { tenant: 'required' }, schema: { tags: ['employees'] } }, async () => [])
  app.get('/api/plain', { schema: { tags: ['plain'] } }, async () => [])
  app.get('/internal', async () => [])
  return app
}

t.test('the document is at /api/docs/json', async t => {
  const response = await (await app(t)).inject('/api/docs/json')
  t.equal(response.statusCode, 200)
  t.match(response.json(), { openapi: '3.1.0', info: { title: 'employee-service', version: '1' } })
})

t.test('the page is at /api/docs', async t => {
  const response = await (await app(t)).inject('/api/docs')
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], /text\/html/)
})

t.test('a tenant route asks for the tenant’s header, another does not', async t => {
  const { paths, components } = (await (await app(t)).inject('/api/docs/json')).json()
  t.match(components.securitySchemes.tenant, { type: 'apiKey', in: 'header', name: 'X-Tenant' })
  t.same(paths['/api/employees'].get.security, [{ tenant: [] }])
  t.notOk(paths['/api/plain'].get.security)
})

t.test('a route without a tag stays out', async t => {
  const { paths } = (await (await app(t)).inject('/api/docs/json')).json()
  t.same(Object.keys(paths).sort(), ['/api/employees', '/api/plain'])
})
