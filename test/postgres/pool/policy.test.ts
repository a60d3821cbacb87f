// The policy alone: one situation each, one decision.
import t from 'tap'
import { nextMove, shouldYield } from '../../../postgres/pool/policy.js'
import type { PooledConnection, PoolView, TenantSlot } from '../../../postgres/pool/pool-view.js'

const now = 10_000

function slot(
  key: string,
  more: Partial<Omit<TenantSlot<null>, 'tally'>> & { waiting?: number; since?: number; uses?: number } = {},
): TenantSlot<null> {
  const { waiting = 0, since = now - 100, uses = 0, ...rest } = more
  const queue = { length: waiting, since } as TenantSlot<null>['queue']
  const tally = { uses, era: 0 }
  return {
    key,
    queue,
    idle: [],
    size: 0,
    live: 0,
    opening: 0,
    inUse: 0,
    shared: null,
    tally,
    used: 0,
    growAfter: 0,
    lentAt: 0,
    ...rest,
  }
}

const resting = (owner: TenantSlot<null>, idleSince: number) =>
  ({ slot: owner, idleSince, usedWhenIdle: 0, state: 'idle' }) as PooledConnection<null>

function state(
  more: Partial<Omit<PoolView<null>, 'waiting' | 'idle' | 'usesOf' | 'slots'>> & {
    waiting?: TenantSlot<null>[]
    idle?: PooledConnection<null>[]
    /** Keys that neither wait nor are idle. */
    others?: TenantSlot<null>[]
  },
) {
  const { waiting = [], idle = [], others = [], ...rest } = more
  const all = [...waiting, ...idle.map(({ slot }) => slot), ...others]
  return {
    budget: 10,
    perKey: 5,
    maxOpening: 4,
    acquireTimeout: 2_000,
    total: 10,
    opening: 0,
    closing: 0,
    usesPerOpen: 0,
    usesOf: ({ tally }: TenantSlot<null>) => tally.uses,
    ...rest,
    slots: new Map(all.map(slot => [slot.key, slot])),
    waiting: new Set(waiting),
    idle: new Set(idle),
  }
}

t.test('the next move', async t => {
  const cold = slot('cold', { waiting: 1 })
  const hot = slot('hot', { waiting: 3, size: 1, live: 1 })
  const other = slot('other', { size: 1, live: 1 })

  await t.test('opens for a key without a connection before any grows', async t =>
    t.same(nextMove(state({ total: 5, waiting: [hot, cold] }), now), { type: 'open', slot: cold }),
  )
  await t.test('lets a key grow once it has waited, and not before', async t => {
    t.same(nextMove(state({ total: 5, waiting: [hot] }), now), { type: 'open', slot: hot })
    const fresh = slot('fresh', { waiting: 1, size: 1, live: 1, since: now - 2 })
    t.same(nextMove(state({ total: 5, waiting: [fresh] }), now), { type: 'wait', ms: 3 })
  })
  await t.test(
    'lets no key grow before its first connection is open, nor past its limit, nor right after a refusal',
    async t => {
      const opening = slot('opening', { waiting: 9, size: 1, live: 1, opening: 1 })
      const full = slot('full', { waiting: 9, size: 5, live: 5 })
      t.equal(nextMove(state({ total: 5, waiting: [opening, full] }), now), null)
      const refused = slot('refused', { waiting: 9, size: 1, live: 1, growAfter: now + 700 })
      t.same(nextMove(state({ total: 5, waiting: [refused] }), now), { type: 'wait', ms: 700 })
    },
  )
  await t.test('opens only so many at a time', async t =>
    t.equal(nextMove(state({ total: 5, opening: 4, waiting: [cold] }), now), null),
  )
  await t.test('evicts the connection that has been idle for longest for a key without any', async t => {
    const [longest, later] = [resting(other, now - 10), resting(other, now - 1)]
    t.same(nextMove(state({ waiting: [cold], idle: [longest, later] }), now), { type: 'evict', victim: longest })
  })
  await t.test('evicts the one whose key uses it least, each of several by its share', async t => {
    const often = slot('often', { size: 1, live: 1, uses: 40 })
    const seldom = slot('seldom', { size: 1, live: 1, uses: 9 })
    const several = slot('several', { size: 5, live: 5, uses: 40 })
    const [longest, middle, latest] = [resting(often, now - 99), resting(several, now - 9), resting(seldom, now - 1)]
    t.same(nextMove(state({ waiting: [cold], idle: [longest, middle, latest] }), now), {
      type: 'evict',
      victim: middle,
    })
    t.same(nextMove(state({ waiting: [cold], idle: [longest, latest] }), now), { type: 'evict', victim: latest })
    t.same(
      nextMove(state({ waiting: [cold], idle: [longest] }), now),
      { type: 'evict', victim: longest },
      'and the only one whatever its use: a key without any is always served',
    )
  })
  await t.test('evicts a busy key’s spare one before the only one of a key that was just used', async t => {
    const fresh = resting(slot('fresh', { size: 1, live: 1, uses: 9 }), now - 99)
    const spare = resting(slot('old', { size: 5, live: 5, uses: 400 }), now - 1)
    t.same(nextMove(state({ waiting: [cold], idle: [fresh, spare] }), now), { type: 'evict', victim: spare })
    const hot = resting(slot('hot', { size: 5, live: 5, uses: 4_000 }), now - 1)
    t.same(
      nextMove(state({ waiting: [cold], idle: [fresh, hot] }), now),
      { type: 'evict', victim: fresh },
      'but not from one that is used a hundred times as often',
    )
  })
  await t.test('evicts no more than can be opened again, and one ahead', async t => {
    const second = slot('second', { waiting: 1 })
    const victim = resting(other, now - 99)
    t.same(nextMove(state({ opening: 4, waiting: [cold], idle: [victim] }), now), { type: 'evict', victim })
    t.equal(nextMove(state({ opening: 4, closing: 1, waiting: [cold, second], idle: [victim] }), now), null)
    t.same(nextMove(state({ opening: 3, closing: 1, waiting: [cold, second], idle: [victim] }), now), {
      type: 'evict',
      victim,
    })
    t.equal(nextMove(state({ total: 9, opening: 4, waiting: [cold] }), now), null, 'a free seat waits for the gate')
  })
  await t.test('evicts for a key that has one only connections that were idle for a second', async t => {
    const victim = resting(other, now - 1_000)
    const fresh = resting(slot('fresh', { size: 1, live: 1 }), now - 999)
    t.same(nextMove(state({ waiting: [hot], idle: [victim, fresh] }), now), { type: 'evict', victim })
    t.same(nextMove(state({ waiting: [hot], idle: [fresh] }), now), { type: 'wait', ms: 1 })
    const patient = slot('patient', { waiting: 1, size: 1, live: 1, since: now - 90 })
    t.same(nextMove(state({ waiting: [patient], idle: [victim] }), now), { type: 'wait', ms: 10 }, 'the longer wait')
    t.same(nextMove(state({ waiting: [patient], idle: [fresh] }), now), { type: 'wait', ms: 10 })
    const dear = resting(slot('dear', { size: 1, live: 1, uses: 9 }), now - 2_000)
    t.same(
      nextMove(state({ waiting: [hot], idle: [dear, victim, fresh] }), now),
      { type: 'evict', victim },
      'the least used',
    )
  })
  await t.test('opens one at a time when most find theirs open and the budget is spent', async t => {
    const second = slot('second', { waiting: 1 })
    const victim = resting(other, now - 99)
    const found = { usesPerOpen: 9, waiting: [cold, second], idle: [victim] }
    t.same(nextMove(state({ ...found, opening: 1 }), now), { type: 'evict', victim }, 'the next seat meanwhile')
    const later = { type: 'wait', ms: 900 }
    t.same(nextMove(state({ ...found, opening: 1, closing: 1 }), now), later, 'until the first has waited for long')
    t.same(nextMove(state({ ...found, opening: 1, total: 9 }), now), later, 'nor into a seat that was just freed')
    t.same(nextMove(state({ ...found, opening: 3, total: 5 }), now), { type: 'open', slot: cold }, 'but into room')
  })
  await t.test('opens several all the same once the first in line has waited for half of what it may', async t => {
    const victim = resting(other, now - 99)
    const first = (ms: number) => [hot, slot('first', { waiting: 1, since: now - ms }), cold]
    const found = { usesPerOpen: 9, opening: 1, closing: 1, idle: [victim] }
    t.same(nextMove(state({ ...found, waiting: first(999) }), now), { type: 'wait', ms: 1 })
    t.same(nextMove(state({ ...found, waiting: first(1_000) }), now), { type: 'evict', victim })
    t.match(nextMove(state({ ...found, total: 9, waiting: first(1_000) }), now), {
      type: 'open',
      slot: { key: 'first' },
    })
    const four = { ...found, opening: 4, waiting: first(1_000) }
    t.equal(nextMove(state({ ...four, total: 9 }), now), null, 'but never more than that')
  })
  await t.test('evicts no key’s only one while another has a spare one that is soon returned', async t => {
    const only = resting(slot('only', { size: 1, live: 1, uses: 40 }), now - 99)
    const spare = slot('spare', { size: 2, live: 2, inUse: 2, uses: 40, lentAt: now - 5 })
    t.same(nextMove(state({ waiting: [cold], idle: [only], others: [spare] }), now), { type: 'wait', ms: 15 })
    const slow = slot('slow', { size: 2, live: 2, inUse: 2, uses: 40, lentAt: now - 25 })
    t.same(nextMove(state({ waiting: [cold], idle: [only], others: [slow] }), now), { type: 'evict', victim: only })
    const busy = slot('busy', { size: 2, live: 2, inUse: 2, uses: 4_000, lentAt: now - 5 })
    t.same(nextMove(state({ waiting: [cold], idle: [only], others: [busy] }), now), { type: 'evict', victim: only })
  })
  await t.test('evicts first a connection that its key has not needed for long, however busy it once was', async t => {
    const only = resting(slot('only', { size: 1, live: 1, uses: 2 }), now - 5)
    const rich = { size: 5, live: 5, uses: 4_000 }
    const taken = (victim: PooledConnection<null>) => nextMove(state({ waiting: [cold], idle: [victim, only] }), now)
    const surplus = resting(slot('once busy', { ...rich, used: 9 }), now - 101)
    t.same(taken(surplus), { type: 'evict', victim: surplus })
    t.same(taken(resting(slot('of late', { ...rich, used: 9 }), now - 99)), { type: 'evict', victim: only })
    t.same(taken(resting(slot('busy still', { ...rich, used: 10 }), now - 101)), { type: 'evict', victim: only })
    t.same(taken(resting(slot('its only one', { uses: 4_000, live: 1 }), 0)), { type: 'evict', victim: only })
  })
  await t.test('evicts none for a seat that is about to be returned', async t => {
    const victim = resting(other, now - 99)
    t.equal(nextMove(state({ closing: 1, waiting: [cold], idle: [victim] }), now), null)
    const second = slot('second', { waiting: 1 })
    t.same(nextMove(state({ closing: 1, waiting: [cold, second], idle: [victim] }), now), { type: 'evict', victim })
  })
  await t.test('keeps one instance’s failures and load from the others', async t => {
    const [here, there] = [slot('b cold', { waiting: 1 }), slot('a cold', { waiting: 1 })]
    const same = (key: string, other: string) => key[0] === other[0]
    const stuck = { opening: (key: string) => (key[0] === 'b' ? 4 : 0), full: () => false, same }
    const move = (instances: PoolView<null>['instances'], idle: PooledConnection<null>[] = []) =>
      nextMove(state({ total: 5, opening: 4, waiting: [here, there], idle, instances }), now)
    t.same(move(stuck), { type: 'open', slot: there }, 'a connect that hangs blocks its own instance alone')
    const hungry = { opening: () => 0, full: (key: string) => key[0] === 'b', same }
    t.same(move(hungry), { type: 'open', slot: there }, 'an instance that has its share opens no more')
    const [own, others] = [resting(slot('b old', { live: 1 }), 0), resting(slot('a old', { live: 1 }), 0)]
    t.same(move(hungry, [others, own]), { type: 'evict', victim: own }, 'and evicts from its own')
    const spare = (key: string) => slot(key, { size: 2, live: 2, inUse: 2, lentAt: now - 5 })
    const waits = (key: string) =>
      nextMove(state({ total: 5, waiting: [here], idle: [own], others: [spare(key)], instances: hungry }), now)
    t.same(waits('b spare'), { type: 'wait', ms: 15 }, 'or waits for a spare one of its own')
    t.same(waits('a spare'), { type: 'evict', victim: own }, 'and not for another instance’s')
  })
  await t.test('is none when no key waits', async t => t.equal(nextMove(state({ total: 0 }), now), null))
})

t.test('a key whose connection was returned', async t => {
  const waiting = slot('waiting', { waiting: 1 })
  const own = slot('own', { waiting: 5, size: 1, live: 1 })
  const rich = slot('rich', { waiting: 5, size: 3, live: 3 })

  await t.test('yields it to one without any whose turn is before', async t =>
    t.ok(shouldYield(state({ waiting: [waiting, own] }), own, now)),
  )
  await t.test('keeps it when its own turn is before', async t =>
    t.notOk(shouldYield(state({ waiting: [own, waiting] }), own, now)),
  )
  await t.test('yields it all the same when it has more', async t =>
    t.ok(shouldYield(state({ waiting: [rich, waiting] }), rich, now)),
  )
  await t.test('yields it when none of its own waits', async t =>
    t.ok(shouldYield(state({ waiting: [waiting] }), slot('done', { size: 1, live: 1 }), now)),
  )
  await t.test('keeps it from one that has a connection', async t =>
    t.notOk(shouldYield(state({ waiting: [rich, own] }), own, now)),
  )
  await t.test('yields it within its instance, when that has its share', async t => {
    const instances = { opening: () => 0, full: () => true, same: (a: string, b: string) => a[0] === b[0] }
    const mine = slot('b mine', { size: 1, live: 1 })
    const near = slot('b near', { waiting: 1 })
    t.ok(shouldYield(state({ total: 5, waiting: [near], instances }), mine, now))
    t.notOk(shouldYield(state({ total: 5, waiting: [slot('a far', { waiting: 1 })], instances }), mine, now))
  })
  await t.test('yields a spare one rather than another’s only one, which is used as often', async t => {
    const spare = slot('spare', { size: 2, live: 2, uses: 40 })
    const only = resting(slot('only', { size: 1, live: 1, uses: 40 }), now - 99)
    t.ok(shouldYield(state({ waiting: [waiting], idle: [only], others: [spare] }), spare, now))
    const seldom = resting(slot('seldom', { size: 1, live: 1, uses: 1 }), now - 99)
    t.notOk(shouldYield(state({ waiting: [waiting], idle: [seldom], others: [spare] }), spare, now))
  })
  await t.test('keeps its only one while another has a spare one that is soon returned', async t => {
    const spare = slot('spare', { size: 2, live: 2, inUse: 2, lentAt: now - 5 })
    t.notOk(shouldYield(state({ waiting: [waiting, own], others: [spare] }), own, now))
    const slow = slot('slow', { size: 2, live: 2, inUse: 2, lentAt: now - 25 })
    t.ok(shouldYield(state({ waiting: [waiting, own], others: [slow] }), own, now))
  })
  await t.test('keeps it while a seat can be freed otherwise', async t => {
    t.notOk(shouldYield(state({ total: 9, waiting: [waiting, own] }), own, now))
    t.notOk(shouldYield(state({ closing: 1, waiting: [waiting, own] }), own, now))
    t.notOk(
      shouldYield(state({ opening: 4, closing: 1, waiting: [slot('a', { waiting: 1 }), waiting, own] }), own, now),
    )
    t.notOk(shouldYield(state({ waiting: [waiting, own], idle: [resting(rich, now)] }), own, now))
  })
})
