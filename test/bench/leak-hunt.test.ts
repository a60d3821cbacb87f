// Twenty thousand requests of the leak hunt, its service in a process of its own; any number by `npm run leak-hunt`.
// Its limit of time is a guard of the runner, as no speed is asserted here: a slow machine took 208 s for the first,
// whose guard was 110 s.
import t from 'tap'
import { huntLeaks } from '../../bench/leak-hunt/run.js'
import { silent } from '../../bench/progress.js'

t.test(
  '20,000 requests, aborted, killed and careless ones among them, leak nothing',
  { timeout: 2_390_000 },
  async t => {
    const found = await huntLeaks({ requests: 20_000, tenants: 100, progress: silent })
    t.same(found.violations, [], JSON.stringify(found.examples))
    t.equal(found.foreign, 0, 'no reply with the secret of another tenant')
    t.equal(found.leftovers, 0, 'nothing of another request in a session')
    t.equal(found.leasesOut, 0, 'every lease is returned')
    t.ok(found.backendsAtPeak <= found.budget, `at most ${found.budget} backends: ${found.backendsAtPeak}`)
    t.ok(found.memory.flat, `memory: ${JSON.stringify(found.memory)}`)
    t.ok(found.backendsKilled > 0 && found.redisFlushed > 0, 'backends were killed and Redis was emptied')
  },
)

t.test('PostgreSQL killed and started again three times under load: no commit is lost, none is half', async t => {
  const found = await huntLeaks({ requests: 6_000, tenants: 20, restarts: 3, progress: silent })
  // Too short a time to judge memory by.
  t.same(
    found.violations.filter(violation => !violation.startsWith('memory')),
    [],
    JSON.stringify(found.examples),
  )
  t.equal(found.restarts, 3)
  t.ok(found.replies > 1_000, `${found.replies} replies`)
  t.ok((found.allowed.TENANT_DATABASE_UNAVAILABLE ?? 0) > 0, JSON.stringify(found.allowed))
})
