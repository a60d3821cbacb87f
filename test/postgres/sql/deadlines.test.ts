// The one timer of all statements: each ends at its deadline, in order, and a removed one never fires.
import t from 'tap'
import { createDeadlines, type Expiring } from '../../../postgres/sql/statement-deadlines.js'
import { until } from '../../until.js'

t.test('deadlines', async t => {
  const expired: string[] = []
  const one = (name: string, expire = () => {}): Expiring => ({
    due: 0,
    before: null,
    behind: null,
    expire() {
      expired.push(name)
      expire()
    },
  })
  t.beforeEach(() => {
    expired.length = 0
  })

  await t.test('end in the order in which they began, never early', async t => {
    const deadlines = createDeadlines(20)
    const began = performance.now()
    for (const name of ['a', 'b', 'c']) deadlines.add(one(name))
    await until(() => expired.length === 3)
    t.ok(performance.now() - began >= 20)
    t.same(expired, ['a', 'b', 'c'])
  })

  await t.test('do not fire after removal, once or twice, by the caller or in another’s end', async t => {
    const deadlines = createDeadlines(20)
    const [gone, behind] = [one('gone'), one('behind')]
    const first = one('first', () => deadlines.delete(behind))
    const last = one('last')
    for (const all of [gone, first, behind, last]) deadlines.add(all)
    deadlines.delete(gone)
    deadlines.delete(gone)
    await until(() => expired.includes('last'))
    t.same(expired, ['first', 'last'])
  })

  await t.test('begin anew for an entry that is added again, and after a pause', async t => {
    const deadlines = createDeadlines(20)
    const again = one('again')
    const other = one('other')
    deadlines.add(again)
    deadlines.add(other)
    deadlines.delete(again)
    deadlines.add(again)
    await until(() => expired.length === 2)
    t.same(expired, ['other', 'again'])
    deadlines.add(again)
    await until(() => expired.length === 3)
    t.same(expired, ['other', 'again', 'again'])
  })

  await t.test('wait for pending reads, also behind a loop that was blocked right after their timer fired', async t => {
    const deadlines = createDeadlines(100)
    const answered = one('answered')
    const blocked = new Promise<void>(resolve => {
      // With the timer, and before it: an immediate that is set here runs between the timer and its check.
      setTimeout(() => {
        setImmediate(() => {
          for (const end = performance.now() + 200; performance.now() < end; );
          // An answer that came meanwhile: sockets are read before the next immediates.
          setImmediate(() => {
            deadlines.delete(answered)
            resolve()
          })
        })
      }, 50)
    })
    deadlines.add(answered)
    await blocked
    t.same(expired, [])
  })

  await t.test('keep nothing that was removed', async t => {
    const deadlines = createDeadlines(10_000)
    const stays = one('stays')
    deadlines.add(stays)
    const goes = one('goes')
    deadlines.add(goes)
    deadlines.delete(goes)
    t.same([goes.before, goes.behind], [null, null])
    t.not(stays.behind, goes)
    deadlines.delete(stays)
  })
})
