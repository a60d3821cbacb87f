// Lists and streams of tenants whose settings are large: an answer is bounded in bytes, and a reader gets all of them.
import t from 'tap'
import { until } from '../../until.js'
import { asAdmin, serviceRig } from '../rig.js'

/** 62 kB each, which is nearly as much as the API accepts. */
const TENANTS = 150

t.test('tenants with large settings', async t => {
  const { service, look } = await serviceRig(t, ['identity'])
  const identity = await service('identity')
  const url = await identity.listen({ port: 0, host: '127.0.0.1' })
  await look('identity', 'identity_central')`
    insert into tenants (id, version, name, settings, lifecycle, provisioned)
    select 'big-' || g, 2, 'big', jsonb_build_object('k', (
      select string_agg(md5(g::text || h), '') from generate_series(1, 1900) h)), 'suspended', 'ready'
    from generate_series(1, ${TENANTS}) g`

  await t.test('a page of the list ends at about 1 MB, and its cursor continues there', async t => {
    const seen: string[] = []
    let after = ''
    do {
      const page = await identity.inject({
        url: `/api/tenants?limit=200${after && `&after=${after}`}`,
        headers: asAdmin,
      })
      t.equal(page.statusCode, 200)
      t.ok(Buffer.byteLength(page.body) < 1_200_000, `a page of ${Buffer.byteLength(page.body)} bytes`)
      const { items, next } = page.json()
      seen.push(...items.map(({ id }: { id: string }) => id))
      after = next
    } while (after)
    t.equal(seen.length, TENANTS)
    t.equal(new Set(seen).size, TENANTS, 'none twice')
  })

  await t.test('a full last page has no next', async t => {
    const page = await identity.inject({ url: `/api/tenants?limit=1&lifecycle=active`, headers: asAdmin })
    t.match(page.json(), { items: [], next: null })
    await identity.tenants.create({ id: 'small', name: 'Small' })
    const one = await identity.inject({ url: `/api/tenants?limit=1&lifecycle=active`, headers: asAdmin })
    t.match(one.json(), { items: [{ id: 'small' }], next: null })
  })

  await t.test('a client that reconnects gets all of them, beyond the limit of its backlog', async t => {
    const leave = new AbortController()
    const response = await fetch(`${url}/api/tenants/events`, {
      headers: { ...asAdmin, 'last-event-id': '0' },
      signal: leave.signal,
    })
    const seen = new Set<string>()
    let over = false
    const reading = (async () => {
      let text = ''
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += chunk
        const blocks = text.split('\n\n')
        text = blocks.pop() ?? ''
        for (const block of blocks) {
          const id = /^data: \{"id":"([^"]+)"/m.exec(block)?.[1]
          if (id) seen.add(id)
        }
      }
    })()
      .catch(() => {})
      .finally(() => {
        over = true
      })
    await until('all are received, or the stream is over', () => over || seen.size > TENANTS)
    t.equal(seen.size, TENANTS + 1)
    t.notOk(over, 'and the stream continues')
    leave.abort()
    await reading
  })
})
