import t from 'tap'
import { createEventLoopWatch, REPORTED_FOR_MS, STALLED_MS, TICK_MS } from '../../../plugins/health/event-loop.js'

t.test('a loop on time is up', async t => {
  const stalls: number[] = []
  const watch = createEventLoopWatch(ms => stalls.push(ms))
  t.match(watch.state(0), { status: 'up', latencyMs: 0 })
  watch.tick(0)
  watch.tick(TICK_MS + 3)
  t.match(watch.state(600), { status: 'up', latencyMs: 3 })
  t.same(stalls, [])
})

t.test('a standstill is reported at once, for a minute, and then over', async t => {
  const stalls: number[] = []
  const watch = createEventLoopWatch(ms => stalls.push(ms))
  watch.tick(0)
  const back = TICK_MS + STALLED_MS + 1300
  watch.tick(back)
  t.same(stalls, [STALLED_MS + 1300])
  t.match(watch.state(back + 4000), { status: 'down', detail: 'stalled for 2.3 s, 4 s ago' })
  watch.tick(back + TICK_MS)
  t.match(watch.state(back + REPORTED_FOR_MS - 1), { status: 'down', latencyMs: 0 })
  const after = watch.state(back + REPORTED_FOR_MS)
  t.equal(after.status, 'up')
  t.equal(after.detail, undefined)
  t.equal(stalls.length, 1)
})
