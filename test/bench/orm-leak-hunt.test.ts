// Two thousand requests of the leak hunt through each ORM; any number by `npm run leak-hunt -- --requests N --drizzle` or another.
import t from 'tap'
import { huntLeaks } from '../../bench/leak-hunt/run.js'
import { silent } from '../../bench/progress.js'

for (const orm of ['drizzle', 'kysely', 'pg', 'mikro-orm']) {
  t.test(`2,000 requests by ${orm}, aborted, killed and careless ones among them`, { timeout: 2_390_000 }, async t => {
    const found = await huntLeaks({ requests: 2_000, tenants: 20, orm, progress: silent })
    // Too short a time to judge memory by.
    const violations = found.violations.filter(violation => !violation.startsWith('memory'))
    t.same(violations, [], JSON.stringify(found.examples))
    t.equal(found.foreign, 0, 'no reply with the secret of another tenant')
    t.equal(found.foreignRows, 0, 'no row in the database of another tenant')
    t.equal(found.leftovers, 0, 'nothing of another request in a session')
    t.ok(found.replies > 1_000, `${found.replies} replies`)
  })
}
