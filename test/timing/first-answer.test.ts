// A request that is sent again until one of its sends ends.
import { mock } from 'node:test'
import t from 'tap'
import { firstAnswer } from '../../timing/first-answer.js'

interface Send {
  resolve(value: string): void
  reject(error: Error): void
}

function asked() {
  const sends: Send[] = []
  const answer = firstAnswer(() => new Promise<string>((resolve, reject) => sends.push({ resolve, reject })), 250)
  return { sends, answer }
}

t.beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }))
t.afterEach(() => mock.timers.reset())

t.test('is sent again while it has no answer, and the first answer counts', async t => {
  const { sends, answer } = asked()
  t.equal(sends.length, 1)
  mock.timers.tick(249)
  t.equal(sends.length, 1)
  mock.timers.tick(251)
  t.equal(sends.length, 3)
  sends[1]?.resolve('second')
  t.equal(await answer, 'second')
  mock.timers.tick(10_000)
  t.equal(sends.length, 3, 'none is sent after it')
  sends[0]?.resolve('first')
  sends[2]?.reject(new Error('late'))
  t.equal(await answer, 'second')
})

t.test('a failure of any of them is the failure, and ends it', async t => {
  const { sends, answer } = asked()
  mock.timers.tick(250)
  sends[0]?.reject(new Error('timed out'))
  await t.rejects(answer, { message: 'timed out' })
  mock.timers.tick(10_000)
  t.equal(sends.length, 2)
  sends[1]?.reject(new Error('a second failure is handled'))
})
