import t from 'tap'
import { createMonitor } from '../../../plugins/health/monitor.js'
import { createPoolExhaustion } from '../../../plugins/health/pool-exhaustion.js'
import { until } from '../../until.js'

const options = { deadlineMs: 1000, freshMs: 1000, failed: 'no answer', onFailure: () => {} }

t.test('concurrent callers share one check, and its answer for a while', async t => {
  let checks = 0
  const monitor = createMonitor(
    async () => {
      checks++
      await new Promise(resolve => setTimeout(resolve, 20))
      return 'up'
    },
    { ...options, freshMs: 600_000 },
  )
  await Promise.all(Array.from({ length: 100 }, () => monitor.current()))
  t.equal(await monitor.current(), 'up')
  t.equal(checks, 1)
})

t.test('an answer that is older is not given', async t => {
  let checks = 0
  const monitor = createMonitor(async () => ++checks, { ...options, failed: 0, freshMs: 1 })
  t.equal(await monitor.current(), 1)
  await until('another check is made', async () => (await monitor.current()) > 1)
})

t.test('a check that fails is an answer', async t => {
  const failures: unknown[] = []
  const monitor = createMonitor<string>(
    async () => {
      throw new Error('no')
    },
    { ...options, onFailure: error => failures.push(error) },
  )
  t.equal(await monitor.current(), 'no answer')
  t.equal(failures.length, 1)
})

t.test('a check that hangs is an answer after its deadline, and the next one starts a new check', async t => {
  let asked = 0
  const monitor = createMonitor<string>(
    () => {
      asked++
      return new Promise(() => {})
    },
    { ...options, deadlineMs: 50, freshMs: 0 },
  )
  t.equal(await monitor.current(), 'no answer')
  t.equal(await monitor.current(), 'no answer')
  t.equal(asked, 2)
})

t.test(
  'a budget is spent when every sample for a while shows it, and no longer at the first sample that does not',
  async t => {
    const full = { inUse: 50, budget: 50, waiting: 3 }
    const watch = createPoolExhaustion(10_000)
    t.equal(watch.exhausted(0, full), false)
    t.equal(watch.exhausted(9_999, full), false)
    t.equal(watch.exhausted(10_000, full), true)
    t.equal(watch.exhausted(10_001, { ...full, waiting: 0 }), false, 'in use, and none waits')
    t.equal(watch.exhausted(10_002, full), false, 'it begins again')
    t.equal(watch.exhausted(30_000, { ...full, inUse: 49 }), false)
  },
)
