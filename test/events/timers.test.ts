import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { every, guarded, later } from '../../events/index.js'

t.test('work of a timer that fails is reported, and goes on', async t => {
  const reported: unknown[] = []
  const [thrown, rejected] = [new Error('thrown'), new Error('rejected')]
  let looks = 0
  const stop = every(
    1,
    () => {
      if (++looks % 2) throw thrown
      return Promise.reject(rejected)
    },
    error => reported.push(error),
  )
  while (looks < 4) await sleep(1)
  stop()
  t.same(reported.slice(0, 4), [thrown, rejected, thrown, rejected])
  const before = looks
  await sleep(10)
  t.equal(looks, before, 'and stops')
  let late: unknown
  later(
    1,
    () => Promise.reject(rejected),
    error => {
      late = error
    },
  )
  while (late === undefined) await sleep(1)
  t.equal(late, rejected)
  const prevented = later(1, () => t.fail('was prevented'))
  prevented()
  await sleep(5)
})

t.test('without a listener the failure is a warning, and the process goes on', async t => {
  const warned = new Promise(resolve => process.once('warning', resolve))
  guarded(() => {
    throw new Error('of the work')
  })
  t.match(await warned, { message: 'of the work' })
})
