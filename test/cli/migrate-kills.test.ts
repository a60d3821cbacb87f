// The short form of `npm run migrate-kills`: kills in the middle of a migration leave no tenant half migrated, and
// none out.
import t from 'tap'
import { silent } from '../../bench/progress.js'
import { killMigrations } from './migrate-kills/run.js'

t.test('a migration that is killed repeatedly', async t => {
  const seed = 1 + (Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const verdict = await killMigrations({ tenants: 40, kills: 3, seed, progress: silent })
  t.same(verdict.violations, [])
  t.equal(verdict.migrated, 37)
  t.same(verdict.named, ['t-000', 't-020', 't-039'])
})
