// Kills a service at every step that it publishes between accepting a tenant and being done with it, starts it
// again, and checks the ledger: nothing missing, extra or stuck. The points are the steps that are really published:
// a new step is a new point.
import t from 'tap'
import { runCrashPoints } from './crash-run.js'
import { startFaultyStack } from './faulty-stack.js'

t.setTimeout(2_400_000)

t.test('killed at every step, every service converges to the accepted state', { timeout: 2_390_000 }, async t => {
  const stack = await startFaultyStack()
  t.teardown(() => stack.stop())
  const { crashes, last } = await runCrashPoints(stack, {
    overlap: 4,
    onCrash: ({ service, step, action, ms }) => {
      const name = `${service} at ${step} (${action.name})`
      if (ms === null) t.comment(`${name}: not published this time`)
      else t.pass(`${name}: right everywhere after ${ms} ms`)
    },
  })
  const reached = new Set(crashes.filter(({ ms }) => ms !== null).map(({ step }) => step))
  t.ok(reached.size >= 25, `${reached.size} distinct points`)
  t.same(last.duplicateEffects, [], 'no effect came twice')
})
