// In a process of its own: it listens to warnings and errors of the process.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { within } from '../../timing/deadline.js'
import { every, guarded, later } from '../../timing/timers.js'

t.test('a timer whose work fails reports it, and keeps running', async t => {
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

t.test('a wait that is too long for a timer of Node is a long one', async t => {
  for (const ms of [Number.POSITIVE_INFINITY, 2 ** 31]) {
    t.teardown(every(ms, () => t.fail('it was no wait')))
    t.teardown(later(ms, () => t.fail('it was no wait')))
    t.equal(await within(ms, sleep(20, 'done'), () => 'late'), 'done')
  }
})

t.test('without a listener the failure is a process warning, and the process continues', async t => {
  const warned = new Promise(resolve => process.once('warning', resolve))
  guarded(() => {
    throw new Error('a failure of the work')
  })
  t.match(await warned, { message: 'a failure of the work' })
})

t.test('no thrown value, and no failure of its report, ends the process', async t => {
  const uncaught: unknown[] = []
  const onUncaught = (error: unknown) => void uncaught.push(error)
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  const warnings: string[] = []
  const onWarning = ({ message }: Error) => void warnings.push(message)
  process.on('warning', onWarning)
  t.teardown(() => {
    process.off('uncaughtException', onUncaught)
    process.off('unhandledRejection', onUncaught)
    process.off('warning', onWarning)
  })
  const report = () => {
    throw new Error('a failure of the report')
  }
  // None of these is an Error, and the first two cannot be converted to text.
  const thrown = [Object.create(null), { toString: null }, Symbol('s'), undefined, null, 1n]
  for (const error of thrown) {
    const works = [
      () => {
        throw error
      },
      () => Promise.reject(error),
      // biome-ignore lint/suspicious/noThenProperty: as the queries of some clients are
      () => ({ then: (_: unknown, reject: (error: unknown) => void) => reject(error) }),
    ]
    for (const work of works) {
      guarded(work)
      guarded(work, report)
      later(1, work, report)
    }
  }
  const wanted = thrown.length * 3
  while (warnings.filter(message => message === 'a failure of the report').length < wanted * 2) await sleep(1)
  t.equal(warnings.length, wanted * 5, 'each is reported, and each failure to report')
  t.same(uncaught, [])
})
