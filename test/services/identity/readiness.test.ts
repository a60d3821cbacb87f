import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createReadiness } from '../../../services/identity/readiness.js'

const { log } = Fastify()
const patient = () => new AbortController().signal

function rig(t: Test, look: (ids: readonly string[]) => Promise<string[]>) {
  let hint = (_id: string) => {}
  let reset = () => {}
  const readiness = createReadiness(
    look,
    {
      subscribe(_channel, onPayload, onReset) {
        hint = onPayload
        reset = onReset ?? reset
        return () => {
          hint = () => {}
        }
      },
    },
    log,
  )
  t.teardown(() => readiness.close())
  return { readiness, hint: (id: string) => hint(id), reset: () => reset() }
}

t.test('a tenant that is ready already causes no wait', async t => {
  const { readiness } = rig(t, async ids => [...ids])
  t.equal(await readiness.wait('acme', 10_000, patient()), true)
})

t.test('a hint is received well before the next poll', async t => {
  let ready = false
  let looks = 0
  const { readiness, hint } = rig(t, async ids => {
    looks++
    return ready ? [...ids] : []
  })
  const waiting = readiness.wait('acme', 10_000, patient())
  setTimeout(() => {
    ready = true
    hint('acme')
  }, 30)
  t.equal(await waiting, true)
  t.equal(looks, 2, 'the first look and the one after the hint, before the poll')
})

t.test('without a hint the poll finds it', async t => {
  let ready = false
  const { readiness } = rig(t, async ids => (ready ? [...ids] : []))
  setTimeout(() => {
    ready = true
  }, 30)
  t.equal(await readiness.wait('acme', 10_000, patient()), true)
})

t.test('after the deadline the answer is no', async t => {
  const { readiness } = rig(t, async () => [])
  t.equal(await readiness.wait('acme', 30, patient()), false)
})

t.test('a client that left is released at once', async t => {
  const { readiness } = rig(t, async () => [])
  const gone = new AbortController()
  setTimeout(() => gone.abort(), 20)
  t.equal(await readiness.wait('acme', 10_000, gone.signal), false)
  t.equal(await readiness.wait('acme', 10_000, gone.signal), false, 'one that had left before does not wait')
})

t.test('the end of the process releases every waiter', async t => {
  const { readiness } = rig(t, async () => [])
  const waiting = [readiness.wait('acme', 10_000, patient()), readiness.wait('globex', 10_000, patient())]
  readiness.close()
  t.same(await Promise.all(waiting), [false, false])
  t.equal(await readiness.wait('acme', 10_000, patient()), false)
})

t.test('an unreadable ledger is read again', async t => {
  let calls = 0
  const { readiness } = rig(t, async ids => {
    if (++calls < 2) throw new Error('connection lost')
    return [...ids]
  })
  t.equal(await readiness.wait('acme', 10_000, patient()), true)
})

t.test('a hundred waiters share one look', async t => {
  let calls = 0
  const { readiness } = rig(t, async ids => {
    calls++
    await new Promise(resolve => setTimeout(resolve, 20))
    return [...ids]
  })
  const waiting = Array.from({ length: 100 }, (_, n) => readiness.wait(`tenant-${n % 10}`, 10_000, patient()))
  t.same(new Set(await Promise.all(waiting)), new Set([true]))
  t.ok(calls <= 3, `${calls} queries`)
})
