import t from 'tap'
import { createFeed } from '../../../plugins/distributed-tenant/reconciliation/feed-client.js'
import { until } from '../../until.js'
import { serviceRig } from '../rig.js'

const token = 'a-token-of-the-services'
const TENANTS = 100

t.test('a page of the feed is bounded in bytes, and readers follow the pages', async t => {
  const { service, look } = await serviceRig(t, ['identity', 'employee'])
  const identity = await service('identity', {}, { serviceTokens: [token] })
  const url = await identity.listen({ port: 0, host: '127.0.0.1' })
  const central = look('identity', 'identity_central')
  await central`
    insert into tenants (id, version, name, settings, lifecycle, provisioned, purge_after)
    select 'big-' || g, 2, 'big', jsonb_build_object('k', (
      select string_agg(md5(g::text || h), '') from generate_series(1, 1900) h)), 'deleted', 'removed', now() + interval '30 days'
    from generate_series(1, ${TENANTS}) g`
  const ask = (after: number) =>
    identity.inject({
      url: `/api/tenants/changes?after=${after}&limit=1000`,
      headers: { authorization: `Bearer ${token}` },
    })
  const seen = new Set<string>()
  let pages = 0
  for (let after = 0; ; ) {
    const page = await ask(after)
    t.ok(Buffer.byteLength(page.body) < 1_200_000, `a page of ${Buffer.byteLength(page.body)} bytes`)
    const { items, next, head } = page.json()
    for (const { id } of items) seen.add(id)
    pages++
    if (next >= head) break
    t.ok(next > after, 'each page continues after the last')
    after = next
  }
  t.equal(seen.size, TENANTS)
  t.ok(pages >= 6, `${pages} pages`)

  await t.test('one row that is larger than a page is a page', async t => {
    await central`
      insert into tenants (id, version, name, settings, lifecycle, provisioned, purge_after)
      select 'huge', 2, 'huge', jsonb_build_object('k', repeat('x', 1500000)), 'deleted', 'removed', now() + interval '30 days'`
    const { head } = await createFeed({ url, token }).changes(0)
    const last = await createFeed({ url, token }).changes(head - 1)
    t.match(last, { items: [{ id: 'huge' }], next: head, head })
  })

  const employee = await service('employee', { identity: { url, token }, reconcileInterval: 200 })
  await until('all pages are read', async () => (await employee.tenants.find('huge')) !== null)
  const [row] = await look('employee', 'employee_central')`select count(*)::int as count from tenants`
  t.equal(row?.count, TENANTS + 1)
})
