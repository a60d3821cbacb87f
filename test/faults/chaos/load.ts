// The load during a chaos run: tenants made one after the other by a few clients at once, each then renamed,
// suspended, activated or deleted at random, every call repeated until its answer is definite. Owns the list of
// accepted changes.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operator } from '../operator.js'

/** The accepted state, which must be true in the end. */
export interface Promised {
  lifecycle: 'active' | 'suspended' | 'deleted'
  /** The version after the accepted changes; more only by repeats of a call whose answer was lost. */
  version: number
  repeats: number
}

export interface Load {
  readonly promised: ReadonlyMap<string, Promised>
  readonly accepted: number
  readonly changes: number
  /** A call that never got a definite answer; a passing run has none. */
  readonly failures: readonly string[]
  readonly done: Promise<void>
}

export interface LoadOptions {
  readonly tenants: number
  readonly random: () => number
  readonly operator: Operator
  /** The number that may be made by now, so that the load lasts as long as the kills. */
  readonly allowed: () => number
  readonly onTenant: () => void
}

const CLIENTS = 4

export function startLoad({ tenants, random, operator, allowed, onTenant }: LoadOptions): Load {
  const promised = new Map<string, Promised>()
  const failures: string[] = []
  let next = 0
  let accepted = 0
  let changes = 0

  async function client(): Promise<void> {
    while (next < tenants) {
      const number = ++next
      while (number > allowed()) await sleep(20)
      const id = `chaos-${number}`
      try {
        await operator.create(id)
        accepted++
        const state: Promised = { lifecycle: 'active', version: 1, repeats: 0 }
        promised.set(id, state)
        await live(id, state)
      } catch (error) {
        failures.push((error as Error).message)
      }
      onTenant()
    }
  }

  async function live(id: string, state: Promised): Promise<void> {
    const change = async (call: Promise<void>, after: Promised['lifecycle']): Promise<void> => {
      const before = operator.repeated
      await call
      state.version++
      // Other clients' repeats are in it: the bound is generous, the lower one is exact.
      state.repeats += operator.repeated - before
      state.lifecycle = after
      changes++
    }
    if (random() < 0.3) await change(operator.rename(id, `${id} renamed`), state.lifecycle)
    if (random() < 0.3) {
      await change(operator.suspend(id), 'suspended')
      if (random() < 0.6) await change(operator.activate(id), 'active')
    }
    if (random() < 0.15) await change(operator.remove(id), 'deleted')
  }

  const done = Promise.all(Array.from({ length: CLIENTS }, client)).then(() => {})
  return {
    promised,
    failures,
    done,
    get accepted() {
      return accepted
    },
    get changes() {
      return changes
    },
  }
}
