import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createFeed } from '../../../../plugins/distributed-tenant/provisioning/feed.js'

const token = 'a-token-of-the-services'

t.test('the feed’s client', async t => {
  let answer: { status: number; body: string; headers?: Record<string, string> } = { status: 200, body: '{}' }
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization)
    if (answer.status === 0) return
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const feed = createFeed({ url, token, deadline: 300 })
  const unavailable = (message: RegExp) => ({ code: 'IDENTITY_UNAVAILABLE', statusCode: 503, message })

  await t.test('takes only identity’s own "not found" for one', async t => {
    answer = { status: 404, body: '{"code":"TENANT_NOT_FOUND"}' }
    t.equal(await feed.tenant('acme' as never), null)
    for (const body of ['{"code":"ROUTE_NOT_FOUND"}', 'null', '[]', '"x"']) {
      answer = { status: 404, body }
      await t.rejects(feed.tenant('acme' as never), unavailable(/answers 404/), body)
    }
  })

  await t.test('takes nothing for an answer that is none', async t => {
    const cases: [typeof answer, RegExp][] = [
      [{ status: 200, body: '<html>' }, /not JSON/],
      [{ status: 200, body: '{}' }, /not a page/],
      [{ status: 200, body: '{"items":[{"seq":1,"id":"Bad Id"}],"next":1,"head":1}' }, /not a page/],
      [{ status: 401, body: '{}' }, /refuses SERVICE_TOKEN/],
      [{ status: 500, body: '{}' }, /answers 500/],
      [{ status: 302, body: '', headers: { location: 'http://127.0.0.1:1/' } }, /redirect/],
      [{ status: 0, body: '' }, /no answer within 300 ms/],
    ]
    for (const [said, reason] of cases) {
      answer = said
      await t.rejects(feed.changes(0), unavailable(reason), said.body)
    }
  })

  t.same(new Set(asked), new Set([`Bearer ${token}`]))
})
