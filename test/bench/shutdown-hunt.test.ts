// Five of the shutdown hunt; any number by `npm run shutdown-hunt`.
import t from 'tap'
import { silent } from '../../bench/progress.js'
import { huntShutdowns } from '../../bench/shutdown-hunt/run.js'

t.test('five services under load stop without a cut request', { timeout: 2_390_000 }, async t => {
  const found = await huntShutdowns({ rounds: 5, progress: silent })
  t.same(found.violations, [])
  t.ok(found.accepted > 100, `enough was asked: ${found.accepted}`)
  t.ok(found.drainingSeen >= 2, 'with a notice to the load balancer')
})
