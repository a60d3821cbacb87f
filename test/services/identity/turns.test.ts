import t from 'tap'
import { createTurns } from '../../../services/identity/turns.js'

const bounds = { atOnce: 1, perAddress: 3, perTenant: 5, inAll: 8 }

/** Turns whose work ends when the test says so, and the order in which it began. */
function stand(given = bounds) {
  const turn = createTurns(given)
  const began: string[] = []
  const refused: string[] = []
  const ends: (() => void)[] = []
  const all: Promise<void>[] = []
  function ask(name: string, address: string, tenant: string | null = null): void {
    const work = () => {
      began.push(name)
      return new Promise<void>(end => ends.push(end))
    }
    const asked = turn({ address, tenant }, work).catch(error => {
      t.equal(error.code, 'OVERLOADED')
      refused.push(name)
    })
    all.push(asked)
  }
  async function drain(): Promise<void> {
    let over = false
    const done = Promise.all(all).then(() => {
      over = true
    })
    while (!over) {
      ends.shift()?.()
      await new Promise(setImmediate)
    }
    await done
  }
  return { ask, drain, began, refused, settled: () => new Promise(setImmediate) }
}

t.test('addresses take turns, however much each of them asks for', async t => {
  const { ask, drain, began, refused } = stand()
  for (const name of ['a1', 'a2', 'a3', 'a4']) ask(name, 'a')
  ask('b1', 'b')
  ask('b2', 'b')
  ask('c1', 'c')
  await drain()
  t.same(began, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
  t.same(refused, [])
})

t.test('an address beyond its bound is refused, and no other', async t => {
  const { ask, drain, began, refused, settled } = stand()
  for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) ask(name, 'a')
  await settled()
  t.same(refused, ['a5', 'a6'], 'one is served and three wait')
  ask('b1', 'b')
  await drain()
  t.same(began, ['a1', 'a2', 'b1', 'a3', 'a4'])
  ask('a7', 'a')
  await drain()
  t.same(began.slice(5), ['a7'], 'and then it continues')
})

t.test('one address cannot take the whole share of a tenant', async t => {
  const { ask, drain, began, refused, settled } = stand()
  for (const name of ['a0', 'a1', 'a2', 'a3']) ask(name, 'a', 'acme')
  for (const name of ['b1', 'b2']) ask(name, 'b', 'acme')
  await settled()
  t.same(refused, [])
  ask('c1', 'c', 'acme')
  await settled()
  t.same(refused, ['a3'], 'the last of the longest line is refused')
  ask('b3', 'b', 'acme')
  await settled()
  t.same(refused, ['a3', 'b3'], 'the one that would have the longest line is refused')
  ask('d1', 'd', 'globex')
  await drain()
  t.same(began, ['a0', 'a1', 'b1', 'c1', 'd1', 'a2', 'b2'])
})

t.test('one beyond the total bound takes a place from the longest line', async t => {
  const { ask, drain, began, refused, settled } = stand()
  for (const name of ['a0', 'a1', 'a2', 'a3']) ask(name, 'a')
  for (const name of ['b1', 'b2', 'b3']) ask(name, 'b')
  for (const name of ['c1', 'c2']) ask(name, 'c')
  await settled()
  t.same(refused, [])
  ask('d1', 'd')
  await settled()
  t.equal(refused.length, 1)
  await drain()
  t.ok(began.indexOf('d1') <= 4, 'and waits for one of each address')
  t.equal(began.length, 9)
})

t.test('work that fails gives its turn to the next', async t => {
  const turn = createTurns(bounds)
  const caller = { address: 'a', tenant: null }
  const failed = turn(caller, async () => {
    throw new Error('no memory')
  })
  const next = turn(caller, async () => 'done')
  await t.rejects(failed, { message: 'no memory' })
  t.equal(await next, 'done')
})
