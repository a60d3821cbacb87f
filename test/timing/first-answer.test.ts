// A request that is sent again until one of its sends ends.
import t from 'tap'
import { firstAnswer } from '../../timing/first-answer.js'
import { until } from '../until.js'

interface Send {
  resolve(value: string): void
  reject(error: Error): void
}

function asked() {
  const sends: Send[] = []
  const answer = firstAnswer(() => new Promise<string>((resolve, reject) => sends.push({ resolve, reject })), 1)
  return { sends, answer }
}

/** Another request meanwhile is sent as often as this. */
async function later(): Promise<void> {
  const { sends, answer } = asked()
  await until(() => sends.length > 20)
  sends[0]?.resolve('')
  await answer
}

t.test('is sent at once, again while it has no answer, and the first answer counts', async t => {
  const { sends, answer } = asked()
  t.equal(sends.length, 1)
  await until(() => sends.length > 2)
  sends[1]?.resolve('second')
  t.equal(await answer, 'second')
  const { length } = sends
  await later()
  t.equal(sends.length, length, 'none is sent after it')
  sends[0]?.resolve('first')
  sends[2]?.reject(new Error('late'))
  t.equal(await answer, 'second')
})

t.test('a failure of any of them is the failure, and ends it', async t => {
  const { sends, answer } = asked()
  await until(() => sends.length > 1)
  sends[0]?.reject(new Error('timed out'))
  await t.rejects(answer, { message: 'timed out' })
  const { length } = sends
  await later()
  t.equal(sends.length, length)
  sends[1]?.reject(new Error('a second failure is handled'))
})
