import postgres from 'postgres'
import t from 'tap'
import type { PostgresServer } from '../../../stack/servers/postgres.js'
import { admin, serviceRig } from '../rig.js'

const serviceTokens = ['the-new-token-of-the-services', 'the-old-token-of-the-services']

t.test('the feed of changes', async t => {
  const { service, look, servers } = await serviceRig(t, ['identity'])
  const app = await service('identity', { retention: 0 }, { serviceTokens })
  const operator = admin(app)
  const central = look('identity', 'identity_central')
  const asService = { authorization: `Bearer ${serviceTokens[0]}` }
  const read = async (url: string) =>
    (await app.inject({ url: `/api/tenants/changes${url}`, headers: asService })).json()

  await t.test('is sent to bearers of any of the services’ tokens, and to no other caller', async t => {
    for (const token of serviceTokens) {
      const headers = { authorization: `Bearer ${token}` }
      t.equal((await app.inject({ url: '/api/tenants/changes', headers })).statusCode, 200)
    }
    const wrong = ['Bearer a-token-of-the-tests', 'Bearer ', `Bearer ${serviceTokens.join(',')}`, undefined]
    for (const authorization of wrong) {
      for (const url of ['/api/tenants/changes', '/api/tenants/changes/acme']) {
        const response = await app.inject({ url, headers: authorization === undefined ? {} : { authorization } })
        t.match(response.json(), { statusCode: 401, code: 'UNAUTHENTICATED' }, authorization ?? 'nothing')
      }
    }
    const silent = await service('identity')
    t.equal((await silent.inject({ url: '/api/tenants/changes', headers: asService })).statusCode, 401)
  })

  await t.test('has each tenant once, completely, at its newest change, in pages', async t => {
    for (const id of ['a', 'b', 'c', 'd']) await operator('POST', '/api/tenants', { id, name: `Tenant ${id}` })
    await operator('PATCH', '/api/tenants/a', { domain: 'a.example.com', settings: { plan: 'pro' } })
    await operator('POST', '/api/tenants/b/suspend')
    await operator('DELETE', '/api/tenants/c')
    const first = await read('?limit=2')
    t.same(
      first.items.map(({ id }: { id: string }) => id),
      ['d', 'a'],
    )
    const rest = await read(`?after=${first.next}`)
    t.match(rest.items, [
      { id: 'b', version: 2, lifecycle: 'suspended', deletedAt: null, purgeAfter: null, purgeable: false },
      { id: 'c', version: 2, lifecycle: 'deleted', deletedAt: /Z$/, purgeAfter: /Z$/, purgeable: true },
    ])
    t.match(first.items[1], { version: 2, name: 'Tenant a', domain: 'a.example.com', settings: { plan: 'pro' } })
    t.equal(rest.next, rest.head)
    t.same(await read(`?after=${rest.next}`), { items: [], next: rest.next, head: rest.head, history: rest.history })
    t.match(await read('/b'), rest.items[0])
    t.match(await read('/unknown'), { statusCode: 404, code: 'TENANT_NOT_FOUND' })
  })

  await t.test('has a change made by hand too, and none where nothing was changed', async t => {
    const { head } = await read('')
    await central`update tenants set provisioned = 'failed', attempts = 7 where id = 'a'`
    t.equal((await read('')).head, head)
    await central`update tenants set name = 'By hand', version = version + 1 where id = 'a'`
    t.match((await read(`?after=${head}`)).items, [{ id: 'a', name: 'By hand', version: 3 }])
  })

  await t.test('misses nothing, in whatever order transactions commit', async t => {
    const { host, port, user, password } = servers.postgres.identity as PostgresServer
    const writers = 20
    const each = 10
    let after: number = (await read('')).head
    const from = after
    const seen = new Map<string, number>()
    let writing = true
    const take = async () => {
      const page = await read(`?after=${after}&limit=7`)
      for (const { id, version } of page.items) seen.set(id, version)
      after = page.next
      return page.items.length
    }
    const reading = (async () => {
      while (writing) await take()
      while ((await take()) > 0);
    })()
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        // A connection of its own: all other reads share one, on which nothing overlaps.
        const sql = postgres({ host, port, user, password, database: 'identity_central', max: 1 })
        for (let n = 0; n < each; n++) {
          const id = `w${writer}-${n}`
          await sql.begin(async tx => {
            await tx`insert into tenants (id, name, version) values (${id}, 'x', 1)`
            // Those that began first do not end first.
            await tx`select pg_sleep(random() * 0.02)`
            await tx`update tenants set version = 2 where id = ${id}`
            await tx`select pg_sleep(random() * 0.02)`
          })
        }
        await sql.end()
      }),
    )
    writing = false
    await reading
    t.equal(seen.size, writers * each)
    t.same(new Set(seen.values()), new Set([2]))
    const [numbers] = await central`
      select count(*)::int as all, count(distinct seq)::int as different from tenant_changes where seq > ${from}`
    t.match(numbers, { all: writers * each, different: writers * each })
  })

  await t.test('refuses a position that is no number', async t => {
    for (const url of ['?after=-1', '?after=x', '?limit=0', '?limit=1001', '?before=1']) {
      t.match(await read(url), { statusCode: 400, code: 'REQUEST_INVALID' }, url)
    }
  })
})
