// The loop, the backoff and the deadline that parts of a service run on.
// In a process of its own: it waits for a warning of the process.
import t from 'tap'
import { backoffMs } from '../../timing/backoff.js'
import { within } from '../../timing/deadline.js'
import { startLoop } from '../../timing/loop.js'

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

t.test('a loop runs, pauses, and runs again when it is woken', async t => {
  let runs = 0
  const loop = startLoop(async () => {
    runs++
    return 3_600_000
  })
  await turn()
  t.equal(runs, 1)
  loop.wake()
  await turn()
  t.equal(runs, 2)
  await Promise.all([loop.stop(), loop.stop()])
  loop.wake()
  await turn()
  t.equal(runs, 2, 'a loop that was stopped does not run')
})

t.test('a wake during a run is followed by another run, and never by one beside it', async t => {
  const ends: (() => void)[] = []
  const loop = startLoop(async () => {
    await new Promise<void>(resolve => ends.push(resolve))
    return 3_600_000
  })
  await turn()
  loop.wake()
  await turn()
  t.equal(ends.length, 1)
  ends[0]?.()
  await turn()
  t.equal(ends.length, 2)
  const stopped = loop.stop()
  ends[1]?.()
  await stopped
  t.equal(ends.length, 2)
})

t.test('a stop waits for the run under way, at most for its deadline', async t => {
  let aborted = false
  const loop = startLoop(async stopping => {
    stopping.addEventListener('abort', () => {
      aborted = true
    })
    await new Promise(() => {})
    return 0
  })
  await turn()
  await loop.stop(20)
  t.ok(aborted)
})

t.test('a run that rejects is reported, and the loop continues', async t => {
  const warned = new Promise<Error>(resolve => process.once('warning', resolve))
  let runs = 0
  const loop = startLoop(async () => {
    if (runs++ === 0) throw new Error('a fault')
    return 3_600_000
  })
  t.match((await warned).message, /a fault/)
  loop.wake()
  await turn()
  t.equal(runs, 2)
  await loop.stop()
})

t.test('a wait doubles for each failure before, up to the longest, a fifth at random either way', async t => {
  for (const [failures, ms] of [
    [0, 100],
    [1, 200],
    [4, 1_600],
    [5, 2_000],
    [1_000, 2_000],
  ] as const) {
    for (let again = 0; again < 100; again++) {
      const wait = backoffMs({ firstMs: 100, longestMs: 2_000 }, failures)
      if (wait < ms * 0.8 || wait > ms * 1.2) t.fail(`${wait} ms after ${failures} failures`)
    }
  }
})

t.test('an answer is taken within its deadline, or the late one instead', async t => {
  t.equal(await within(60_000, Promise.resolve('answer'), () => 'late'), 'answer')
  t.equal(await within(1, new Promise<string>(() => {}), () => 'late'), 'late')
  await t.rejects(
    within(60_000, Promise.reject(new Error('failed')), () => 'late'),
    /failed/,
  )
  await t.rejects(
    within(1, new Promise(() => {}), () => {
      throw new Error('too late')
    }),
    /too late/,
  )
})
