// The choice of targets of a drain, and of the tenants that a rebalance moves.
import t from 'tap'
import { chooseRelocations, chooseTargets } from '../../../operations/move/many/choose-targets.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'

const sized = (sizes: Record<string, number>) =>
  Object.entries(sizes).map(([id, bytes]) => ({ id: id as TenantId, bytes }))

t.test('the largest first, each to the least filled', async t => {
  const targets = [
    { name: 'b', bytes: 10, weight: 1, free: null },
    { name: 'c', bytes: 0, weight: 1, free: null },
  ]
  const chosen = chooseTargets(sized({ small: 1, large: 8, middle: 5 }), targets)
  t.same(
    [...chosen],
    [
      ['large', 'c'],
      ['middle', 'c'],
      ['small', 'b'],
    ],
  )
})

t.test('by weight, and never more than a target has room for', async t => {
  const weighed = chooseTargets(sized({ a: 3, b: 3, c: 3, d: 3 }), [
    { name: 'one', bytes: 0, weight: 1, free: null },
    { name: 'three', bytes: 0, weight: 3, free: null },
  ])
  t.equal([...weighed.values()].filter(to => to === 'three').length, 3)
  const roomy = chooseTargets(sized({ a: 5, b: 4, c: 2 }), [{ name: 'one', bytes: 0, weight: 1, free: 7 }])
  t.same([...roomy.keys()], ['a', 'c'], 'the one in between has no room')
})

const loaded = (rows: readonly (readonly [string, string, number, boolean?])[]) =>
  rows.map(([id, instance, load, movable = true]) => ({ id: id as TenantId, instance, load, bytes: load, movable }))
const instance = (name: string, open = true) => ({ name, weight: 1, open, free: null })
const how = { tolerance: 0.1, most: 10 }

t.test('the tenant that closes the gap, and no other', async t => {
  const tenants = loaded([
    ['a', 'main', 50],
    ['b', 'main', 30],
    ['c', 'main', 20],
    ['d', 'b', 40],
  ])
  t.match(chooseRelocations(tenants, [instance('main'), instance('b')], how), [{ id: 'b', from: 'main', to: 'b' }])
  t.same(chooseRelocations(tenants, [instance('main'), instance('b')], { ...how, tolerance: 1 }), [])
})

t.test('one that is full gives and does not get, and one that cannot be moved only counts', async t => {
  const tenants = loaded([
    ['a', 'main', 50],
    ['b', 'main', 40, false],
    ['c', 'b', 10],
  ])
  t.same(chooseRelocations(tenants, [instance('main'), instance('b', false)], how), [])
  t.match(chooseRelocations(tenants, [instance('main', false), instance('b')], how), [])
  t.match(chooseRelocations(tenants, [instance('main', false), instance('b'), instance('c')], how), [
    { id: 'a', from: 'main', to: 'c' },
  ])
})

t.test('it comes to an end, with no more moves than are allowed', async t => {
  const many = loaded(Array.from({ length: 60 }, (_, n) => [`t${n}`, 'main', 1 + (n % 7)] as const))
  const three = [instance('main'), instance('b'), instance('c')]
  const chosen = chooseRelocations(many, three, { tolerance: 0.05, most: 1_000 })
  const levels = three.map(({ name }) =>
    many.reduce((sum, one) => {
      const at = chosen.find(({ id }) => id === one.id)?.to ?? one.instance
      return sum + (at === name ? one.load : 0)
    }, 0),
  )
  t.ok(Math.max(...levels) - Math.min(...levels) <= 7, String(levels))
  t.ok(chosen.length <= 40)
  t.equal(chooseRelocations(many, three, { tolerance: 0.05, most: 3 }).length, 3)
})
