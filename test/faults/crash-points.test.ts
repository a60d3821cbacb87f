// Kills a service at every step it tells between accepting a tenant and being done with it, starts it again, and holds the
// ledger to it: nothing missing, extra or stuck. The points are what is really told: a new step is a new point.
import t from 'tap'
import { runCrashPoints } from './crash-run.js'
import { startFaultyStack } from './faulty-stack.js'

t.setTimeout(2_400_000)

t.test('killed at every step, everything is as it was accepted', { timeout: 2_390_000 }, async t => {
  const stack = await startFaultyStack()
  t.teardown(() => stack.stop())
  const { crashes, last } = await runCrashPoints(stack, {
    overlap: 4,
    onCrash: ({ service, step, action, ms }) => {
      const name = `${service} at ${step} (${action.name})`
      if (ms === null) t.comment(`${name}: not told this time`)
      else t.pass(`${name}: right everywhere after ${ms} ms`)
    },
  })
  const reached = new Set(crashes.filter(({ ms }) => ms !== null).map(({ step }) => step))
  t.ok(reached.size >= 25, `${reached.size} distinct points`)
  t.same(last.duplicateEffects, [], 'no effect came twice')
})
