// In a process of its own: it sets flags of V8.
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { createRemoteKeys } from '../../../plugins/tokens/index.js'
import { issuer, makeKey } from './issuer.js'

const [one, two] = [makeKey('one'), makeKey('two')]
const MINUTE = 60_000

/** Keys of an issuer, by a clock of the test, and their changes. */
async function remote(t: Test) {
  const from = await issuer(t, [one])
  const clock = { now: 0 }
  const changes: string[] = []
  const keys = createRemoteKeys({
    url: from.url,
    now: () => clock.now,
    onChange: error => changes.push(error === undefined ? 'well' : 'away'),
  })
  t.teardown(() => keys.close())
  return { from, clock, keys, changes }
}

t.test('concurrent lookups of the first key ask the issuer once', async t => {
  const { from, keys } = await remote(t)
  const found = await Promise.all(Array.from({ length: 50 }, () => keys.find('one')))
  t.equal(from.asked, 1)
  for (const key of found) t.match(key, { algorithms: ['EdDSA'], pem: /BEGIN PUBLIC KEY/ })
})

t.test('a token with an unknown key asks the issuer again, but a flood of them does not', async t => {
  const { from, clock, keys } = await remote(t)
  await keys.find('one')
  for (let n = 0; n < 100; n++) t.equal(await keys.find(`unknown-${n}`), null)
  t.equal(from.asked, 1, 'within ten seconds of the last time the issuer is not asked')
  clock.now += 11_000
  from.keys = [one.jwk, two.jwk]
  await Promise.all(Array.from({ length: 50 }, (_, n) => keys.find(`unknown-${n}`)))
  t.equal(from.asked, 2)
  t.ok(await keys.find('two'), 'and the new key is known now')
  t.equal(from.asked, 2)
})

t.test('known keys outlive the issuer for a day, and not for longer', async t => {
  const { from, clock, keys, changes } = await remote(t)
  await keys.find('one')
  for (const mood of ['error', 'garbage', 'huge'] as const) {
    from.mood = mood
    clock.now += 6 * MINUTE
    t.ok(await keys.find('one'), mood)
    await keys.refresh()
  }
  t.same(changes, ['away'], 'reported once')
  clock.now += 11_000
  await t.rejects(keys.find('unknown'), { code: 'TOKEN_KEYS_UNAVAILABLE' }, 'it may be a new one')
  clock.now += 24 * 60 * MINUTE
  await t.rejects(keys.find('one'), { code: 'TOKEN_KEYS_UNAVAILABLE' })
  from.mood = 'well'
  clock.now += 11_000
  t.ok(await keys.find('one'))
  t.same(changes, ['away', 'well'])
})

t.test('a key that the issuer has withdrawn is unknown', async t => {
  const { from, clock, keys } = await remote(t)
  await keys.find('one')
  from.keys = [two.jwk]
  clock.now += 6 * MINUTE
  await keys.find('one')
  await keys.refresh()
  t.equal(await keys.find('one'), null)
})

t.test('a key withdrawn while no token arrived is refused, and an issuer that is down causes no wait', async t => {
  const { from, clock, keys } = await remote(t)
  await keys.find('one')
  from.keys = [two.jwk]
  clock.now += 11 * MINUTE
  t.same(await Promise.all([keys.find('one'), keys.find('one')]), [null, null], 'not even the first')
  t.ok(await keys.find('two'))

  clock.now += 11 * MINUTE
  from.mood = 'error'
  t.ok(await keys.find('two'), 'asked, and down')
  from.mood = 'silent'
  clock.now += 11_000
  // In one event loop the earlier of two timers fires first, however late both are: the deadline is 3 s.
  const found = await Promise.race([keys.find('two'), sleep(1_000, 'late')])
  t.match(found, { pem: /BEGIN PUBLIC KEY/ }, 'known to be down, it is asked in the background')
})

t.test('without an issuer, or with a silent one, a key is unavailable, not unknown', async t => {
  const none = createRemoteKeys({ url: undefined })
  await t.rejects(none.find('one'), { code: 'TOKEN_KEYS_UNAVAILABLE' })
  const { from, keys } = await remote(t)
  from.mood = 'silent'
  await t.rejects(keys.find('one'), { code: 'TOKEN_KEYS_UNAVAILABLE' })
})

t.test('the deadline for a silent issuer outlives the garbage collector', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const { from, keys } = await remote(t)
  from.mood = 'silent'
  let seen: unknown
  keys.find('one').catch(error => {
    seen = error
  })
  for (const began = performance.now(); !seen && performance.now() - began < 180_000; await sleep(50)) collect()
  t.match(seen, { code: 'TOKEN_KEYS_UNAVAILABLE' })
})

t.test('closing ends a request to the issuer that has no answer', async t => {
  const { from, keys } = await remote(t)
  from.mood = 'silent'
  const asking = keys.refresh()
  keys.close()
  await asking
  t.pass()
})
