import t from 'tap'
import type { TenancyHealth } from '../../../plugins/distributed-tenant/index.js'
import { createMonitor } from '../../../plugins/health/monitor.js'

const up = { central: { status: 'up' }, cache: { status: 'up' }, events: { status: 'up' } } as TenancyHealth

t.test('many who ask at once share one check, and its answer for a second', async t => {
  let checks = 0
  const monitor = createMonitor(
    async () => {
      checks++
      await new Promise(resolve => setTimeout(resolve, 20))
      return up
    },
    1000,
    () => {},
  )
  await Promise.all(Array.from({ length: 100 }, () => monitor.current()))
  await monitor.current()
  t.equal(checks, 1)
  await new Promise(resolve => setTimeout(resolve, 1050))
  await monitor.current()
  t.equal(checks, 2)
})

t.test('a check that fails is an answer', async t => {
  const failures: unknown[] = []
  const monitor = createMonitor(
    async () => {
      throw new Error('no')
    },
    1000,
    error => failures.push(error),
  )
  t.equal((await monitor.current()).central.status, 'down')
  t.equal(failures.length, 1)
})

t.test('a check that hangs is an answer after its deadline', async t => {
  const monitor = createMonitor(
    () => new Promise<TenancyHealth>(() => {}),
    50,
    () => {},
  )
  const begun = performance.now()
  t.equal((await monitor.current()).central.status, 'down')
  t.ok(performance.now() - begun < 1000)
})
