// The pool alone, without I/O, under random events in random order: the limit holds, a connection is lent once, or
// to at most eight plain reads of one key, connections that are no longer needed are cut, every wait ends, and all
// counts return to zero.
import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import type { Connection } from '../../../postgres/connections/connection.js'
import { createPool, type Lease } from '../../../postgres/pool/pool.js'
import type { Shareable } from '../../../postgres/pool/statement-sharing.js'
import type { Scope } from '../../../postgres/pool/wait-queue.js'
import { until } from '../../until.js'

/** A promise that the test settles. */
function later() {
  let resolve: () => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** A connection whose every step the test decides. */
class Fake {
  lost: Error | null = null
  worn = false
  isOpen = false
  isClosed = false
  holders = 0
  /** Holders that want it for themselves. */
  owners = 0
  readonly #watchers = new Set<(error: Error) => void>()
  #opened = later()
  #closed = later()
  readonly opened = this.#opened.promise
  readonly closed = this.#closed.promise
  readonly database: string
  /** The server closes only when the test says so. */
  readonly slow: boolean

  constructor(database: string, slow: boolean) {
    this.database = database
    this.slow = slow
    this.opened.catch(() => {})
  }
  watch(onLost: (error: Error) => void): () => void {
    if (this.lost) onLost(this.lost)
    else this.#watchers.add(onLost)
    return () => this.#watchers.delete(onLost)
  }
  succeed(): void {
    if (this.lost || this.isOpen) return
    this.isOpen = true
    this.#opened.resolve()
  }
  /** The errors of a refused connect or a killed backend. */
  lose(): void {
    this.destroy(new Error('lost'))
    this.letGo()
  }
  letGo(): void {
    if (!this.lost) return
    this.isClosed = true
    this.#closed.resolve()
  }
  destroy(error: Error): void {
    if (this.lost) return
    this.lost = error
    for (const onLost of this.#watchers) onLost(error)
    if (!this.isOpen) this.#opened.reject(error)
    if (!this.slow) this.letGo()
  }
  close(): Promise<void> {
    this.destroy(new Error('closed'))
    return this.closed
  }
  async run(): Promise<{ command: string }> {
    if (this.lost) throw this.lost
    return { command: 'DISCARD' }
  }
  execute(): void {}
  async cancel(): Promise<void> {}
}

/** Statements that may share, once their connection has answered them three times. */
const claim: Shareable = { template: ['select 1'], values: [], shape: '', codecs: null }

interface Asked {
  readonly end: () => void
  readonly shares: boolean
  lease: Lease | null
  abandoned: boolean
  settled: boolean
}

/** One key has most of the load, so that its statements meet. */
const anyKey = fc.constantFrom(0, 0, 0, 0, 1, 2, 3, 4, 5)

const command = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('acquire' as const),
      key: anyKey,
      shares: fc.constantFrom(true, true, true, false),
      times: fc.constantFrom(1, 1, 4),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('succeed' as const), at: fc.nat(20) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('release' as const),
      at: fc.nat(20),
      as: fc.constantFrom('clean' as const, 'clean' as const, 'clean' as const, 'reset' as const, 'destroy' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('lose' as const, 'letGo' as const, 'end' as const, 'wear' as const),
      at: fc.nat(20),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('abandon' as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('evict' as const), key: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(0, 0, 0, 1, 6) }) },
)

const settings = fc.record({
  budget: fc.integer({ min: 1, max: 4 }),
  perKey: fc.integer({ min: 1, max: 4 }),
  maxOpening: fc.integer({ min: 1, max: 3 }),
  pooling: fc.boolean(),
  alwaysReset: fc.boolean(),
  slow: fc.boolean(),
  closes: fc.boolean(),
  /** The first key's connection trusts its reads. */
  taught: fc.boolean(),
})

/** Settings under which reads of one key share a connection. */
const sharing = settings.map(some => ({ ...some, pooling: true, alwaysReset: false, taught: true }))

const lesson = Array.from({ length: 3 }, () => [
  { type: 'acquire' as const, key: 0, shares: true, times: 1 },
  { type: 'succeed' as const, at: 0 },
  { type: 'wait' as const, ms: 0 },
  { type: 'release' as const, at: 0, as: 'clean' as const },
]).flat()

const whatever = (chosen: typeof settings) => async () => {
  await fc.assert(
    fc.asyncProperty(
      chosen,
      fc.array(command, { maxLength: 60, size: 'max' }),
      async ({ budget, perKey, slow, closes, taught, ...more }, commands) => {
        const fakes: Fake[] = []
        const asked: Asked[] = []
        const pool = createPool({
          ...more,
          budget,
          perKey,
          acquireTimeout: 15,
          idleTimeout: 60_000,
          fastMs: 60_000,
          open(key) {
            const fake = new Fake(key, slow)
            fakes.push(fake)
            return fake as unknown as Connection
          },
          refusal: () => new Error('refused'),
          report: () => {},
        })
        const sockets = (key?: string) =>
          fakes.filter(fake => !fake.isClosed && (key === undefined || fake.database === key)).length
        const check = (): void => {
          if (sockets() > budget) throw new Error(`${sockets()} sockets of ${budget}`)
          for (let key = 0; key < 6; key++) {
            if (sockets(`${key}`) > perKey) throw new Error(`${sockets(`${key}`)} sockets of ${perKey} for one key`)
          }
          const opening = fakes.filter(fake => !fake.isOpen && !fake.lost).length
          if (opening > more.maxOpening) throw new Error(`${opening} opening of ${more.maxOpening}`)
          for (const fake of fakes) {
            if (fake.owners > 0 && fake.holders > 1) throw new Error('lent twice')
            if (fake.holders > 8) throw new Error(`${fake.holders} share one`)
          }
        }
        const checkCut = (): void => {
          for (const fake of fakes) {
            const on = asked.filter(({ lease }) => (lease?.connection as unknown) === fake)
            if (on.length > 0 && on.every(({ abandoned }) => abandoned) && !fake.lost)
              throw new Error('it is not needed, and it was not cut')
          }
        }
        const acquire = (key: string, shares: boolean): void => {
          let leave: (() => void) | null = null
          const scope = {
            over: false,
            onOver(fn: () => void) {
              leave = fn
              return () => {
                leave = null
              }
            },
          }
          const one: Asked = {
            shares,
            lease: null,
            abandoned: false,
            settled: false,
            end() {
              scope.over = true
              leave?.()
            },
          }
          asked.push(one)
          pool.acquire(key, scope as Scope, shares ? claim : null).then(
            lease => {
              one.settled = true
              one.lease = lease
              const fake = lease.connection as unknown as Fake
              fake.holders++
              if (!lease.shares) fake.owners++
              if (lease.shares && !shares) throw new Error('shared without a claim')
              if (fake.database !== key) throw new Error('another key’s connection')
              check()
            },
            () => {
              one.settled = true
            },
          )
        }
        const release = (one: Asked | undefined, as: 'clean' | 'reset' | 'destroy'): void => {
          if (!one?.lease) return
          const { lease } = one
          one.lease = null
          const fake = lease.connection as unknown as Fake
          fake.holders--
          if (!lease.shares) fake.owners--
          // A sharing statement is a read that leaves no state, or is lost.
          lease.release(lease.shares && as === 'reset' ? 'clean' : as, one.shares && as === 'clean' ? [] : undefined)
          lease.release('clean')
        }
        const pick = <T>(all: readonly T[], at: number): T | undefined => all[at % Math.max(1, all.length)]

        for (const step of taught ? [...lesson, ...commands] : commands) {
          if (step.type === 'acquire') for (let n = 0; n < step.times; n++) acquire(`${step.key}`, step.shares)
          if (step.type === 'succeed')
            pick(
              fakes.filter(fake => !fake.isOpen && !fake.lost),
              step.at,
            )?.succeed()
          if (step.type === 'release')
            release(
              pick(
                asked.filter(({ lease }) => lease),
                step.at,
              ),
              step.as,
            )
          if (step.type === 'lose')
            pick(
              fakes.filter(({ lost }) => !lost),
              step.at,
            )?.lose()
          if (step.type === 'abandon') {
            const one = pick(
              asked.filter(({ lease }) => lease),
              step.at,
            )
            if (one) one.abandoned = true
            one?.lease?.abandon(new Error('abandoned'))
          }
          if (step.type === 'letGo')
            pick(
              fakes.filter(({ lost, isClosed }) => lost && !isClosed),
              step.at,
            )?.letGo()
          if (step.type === 'wear') Object.assign(pick(fakes, step.at) ?? {}, { worn: true })
          if (step.type === 'end')
            pick(
              asked.filter(({ settled }) => !settled),
              step.at,
            )?.end()
          if (step.type === 'evict') void pool.evict(`${step.key}`)
          if (step.type === 'wait') await new Promise(resolve => setTimeout(resolve, step.ms))
          check()
          await Promise.resolve()
          check()
          if (asked.some(({ abandoned, lease }) => abandoned && lease)) {
            // A holder that was given a lease meanwhile has it then.
            await new Promise(setImmediate)
            checkCut()
          }
        }

        const closing = closes ? pool.close(1_000) : null
        await until(() => {
          check()
          for (const fake of fakes) fake.succeed()
          for (const fake of fakes) fake.letGo()
          for (const one of asked) release(one, 'clean')
          return asked.every(({ settled }) => settled)
        })
        for (const one of asked) release(one, 'clean')
        await until(() => {
          for (const fake of fakes) {
            fake.succeed()
            fake.letGo()
          }
          const { inUse, waiting, opening } = pool.info()
          return inUse === 0 && waiting === 0 && opening === 0
        })
        const closed = closing ?? pool.close(1_000)
        await until(() => {
          for (const fake of fakes) fake.letGo()
          return pool.info().open === 0
        })
        await closed
        const { keys, counted, opened, evicted, refused, ...counts } = pool.info()
        deepStrictEqual(
          { ...counts, keys: keys.size },
          { open: 0, idle: 0, inUse: 0, opening: 0, waiting: 0, budget, keys: 0 },
        )
        const sums = { opened: 0, evicted: 0, refused: 0 }
        for (const one of counted.values()) {
          sums.opened += one.opened
          sums.evicted += one.evicted
          sums.refused += one.refused
        }
        deepStrictEqual(sums, { opened, evicted, refused })
      },
    ),
    { numRuns: 300 },
  )
}

t.test('the invariants hold under random events', whatever(settings))
t.test('the invariants hold where reads share connections', whatever(sharing))
