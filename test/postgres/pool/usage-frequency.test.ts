// The recent use of each key, which decides the connections that are kept.
import fc from 'fast-check'
import t from 'tap'
import { createFrequency, type Tally } from '../../../postgres/pool/usage-frequency.js'

t.test('a key', async t => {
  const use = (frequency: ReturnType<typeof createFrequency>, tally: Tally, times: number) => {
    for (let n = 0; n < times; n++) frequency.count(tally)
  }

  await t.test('is counted by its uses, halved after an era', async t => {
    const frequency = createFrequency(100)
    const [one, other] = [frequency.begin('one'), frequency.begin('other')]
    use(frequency, one, 60)
    t.equal(frequency.of(one), 60)
    use(frequency, other, 40)
    t.equal(frequency.of(one), 60)
    use(frequency, other, 1)
    t.equal(frequency.of(one), 30)
    t.equal(frequency.of(other), 21)
    use(frequency, other, 1_000)
    t.ok(frequency.of(one) < 1, 'and is forgotten in the end')
  })
  await t.test('that leaves is remembered for an era more, and no longer', async t => {
    const frequency = createFrequency(100)
    const [one, other] = [frequency.begin('one'), frequency.begin('other')]
    use(frequency, one, 60)
    frequency.end('one', one)
    use(frequency, other, 41)
    t.equal(frequency.of(frequency.begin('one')), 30)
    frequency.end('one', one)
    use(frequency, other, 250)
    t.equal(frequency.of(frequency.begin('one')), 0)
  })
  await t.test('never counts for more than two eras, in whatever order keys come and go', async () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.boolean()), { maxLength: 300, size: 'max' }),
        (length, steps) => {
          const frequency = createFrequency(length)
          const here = new Map<number, Tally>()
          for (const [key, leaves] of steps) {
            const tally = here.get(key) ?? frequency.begin(`${key}`)
            here.set(key, tally)
            frequency.count(tally)
            if (leaves) {
              here.delete(key)
              frequency.end(`${key}`, tally)
            }
          }
          const all = [...here.values()].reduce((sum, tally) => sum + frequency.of(tally), 0)
          return all <= 2 * length
        },
      ),
    )
  })
})
