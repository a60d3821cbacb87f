import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createFeed } from '../../../../plugins/distributed-tenant/reconciliation/feed-client.js'

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
  const feed = createFeed({ url, token })
  const unavailable = (message: RegExp) => ({ code: 'IDENTITY_UNAVAILABLE', statusCode: 503, message })

  await t.test('accepts only identity’s own "not found" as one', async t => {
    answer = { status: 404, body: '{"code":"TENANT_NOT_FOUND"}' }
    t.equal(await feed.tenant('acme' as never), null)
    for (const body of ['{"code":"ROUTE_NOT_FOUND"}', 'null', '[]', '"x"']) {
      answer = { status: 404, body }
      await t.rejects(feed.tenant('acme' as never), unavailable(/answers 404/), body)
    }
  })

  await t.test('accepts no malformed answer', async t => {
    const cases: [typeof answer, RegExp][] = [
      [{ status: 200, body: '<html>' }, /not JSON/],
      [{ status: 200, body: '{}' }, /not a page/],
      [{ status: 200, body: '{"items":{},"next":1,"head":1}' }, /not a page/],
      [{ status: 401, body: '{}' }, /refuses SERVICE_TOKEN/],
      [{ status: 500, body: '{}' }, /answers 500/],
      [{ status: 302, body: '', headers: { location: 'http://127.0.0.1:1/' } }, /redirect/],
    ]
    for (const [body, reason] of cases) {
      answer = body
      await t.rejects(feed.changes(0), unavailable(reason), body.body)
    }
    answer = { status: 0, body: '' }
    const impatient = createFeed({ url, token, deadline: 300 })
    await t.rejects(impatient.changes(0), unavailable(/no answer within 300 ms/))
  })

  await t.test('reports an unreadable row separately, and returns the others', async t => {
    const good = {
      seq: 1,
      id: 'acme',
      version: 1,
      name: 'Acme',
      domain: null,
      settings: {},
      lifecycle: 'active',
      deletedAt: null,
      purgeAfter: null,
      purgeable: false,
    }
    const items = [good, { ...good, seq: 2, id: 'globex', name: 7 }, { seq: 3, id: 'Bad Id' }, null]
    answer = { status: 200, body: JSON.stringify({ items, next: 3, head: 3 }) }
    const page = await feed.changes(0)
    t.same(page.items, [good])
    t.match(page.flawed, [
      { id: 'globex', detail: /^change 2 .*\/name/ },
      { id: null, detail: /^change 3 / },
      { id: null, detail: /^a change without a number / },
    ])
    t.equal(page.next, 3)
  })

  t.same(new Set(asked), new Set([`Bearer ${token}`]))
})
