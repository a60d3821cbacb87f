// Owns the books of one pool: which connections there are, of which key, in which state. Pure: it moves entries and counts,
// and opens or closes nothing. Invariant: a seat is taken from before connect until the server has let go.

import type { ConnectionCounts } from '../api.js'
import type { Connection } from '../connections/connection.js'
import type { CloseReason } from '../diagnostics/steps.js'
import type { Entry, InstanceShares, Member, PoolState } from './books.js'
import { type Counters, createCount } from './counters.js'
import { createCompany } from './statement-sharing.js'
import { createFrequency } from './usage-frequency.js'
import { createQueue } from './wait-queue.js'

/** `opened`, `taken` and `refused` are counted since the start. */
export interface PoolInfo extends Counters, ConnectionCounts {
  readonly budget: number
  /** Those that have a connection, or wait for one. */
  readonly keys: ReadonlyMap<string, ConnectionCounts>
  /** Of every key since the start, see counters.ts. */
  readonly counted: ReadonlyMap<string, Counters>
}

export interface Seats<L> {
  readonly members: ReadonlySet<Member<L>>
  readonly entries: ReadonlyMap<string, Entry<L>>
  /** What the policy looks at. */
  state(): PoolState<L>
  /** The entry of a key, made if it is new. */
  entry(key: string): Entry<L>
  /** True when anybody waits. */
  someoneWaits(): boolean
  /** True when somebody waits for another key than this. */
  othersWait(entry: Entry<L>): boolean
  /** A key has a waiter: in the line of turns, unless it stands there already. */
  waits(entry: Entry<L>): void
  /** A waiter of a key was served: to the end of the line, or out of it. */
  served(entry: Entry<L>): void
  /** A waiter left, or a connection is gone: out of the line if nobody waits, forgotten if there is nothing else. */
  tidy(entry: Entry<L>): void
  /** A waiter's time was over. */
  refused(entry: Entry<L>): void
  opening(entry: Entry<L>, connection: Connection): Member<L>
  opened(member: Member<L>): void
  rests(member: Member<L>): void
  leased(member: Member<L>): void
  /** One more statement on a connection that is in use. */
  joined(member: Member<L>): void
  returned(member: Member<L>): void
  /** We are about to close it. */
  closes(member: Member<L>, reason: CloseReason): void
  /** We closed it or it was lost: nobody gets it any more, its seat stays taken. @returns whether it was still opening */
  leaves(member: Member<L>): boolean
  /** The server has let go. */
  gone(member: Member<L>): void
  info(): PoolInfo
}

export interface SeatsOptions {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  readonly acquireTimeout: number
  readonly fastMs?: number
  readonly instances?: InstanceShares | undefined
}

/** Uses for each seat of the budget until all counts are halved: 20 to 200 make no difference of note (simulated). */
const ERA_PER_SEAT = 50

/** What the latest open weighs among those before it: ten change the picture. */
const OPENS_REMEMBERED = 0.1

export function createSeats<L>(options: SeatsOptions): Seats<L> {
  const { budget, perKey, maxOpening, acquireTimeout, fastMs, instances } = options
  const entries = new Map<string, Entry<L>>()
  const members = new Set<Member<L>>()
  const idle = new Set<Member<L>>()
  const turns = new Set<Entry<L>>()
  const counts = { total: 0, opening: 0, closing: 0 }
  const count = createCount()
  const frequency = createFrequency(budget * ERA_PER_SEAT)
  const usesOf = (entry: Entry<L>): number => frequency.of(entry.tally)
  let usesPerOpen = 0
  let usesSinceOpen = 0

  function used(entry: Entry<L>): void {
    frequency.count(entry.tally)
    entry.used++
    usesSinceOpen++
  }

  function tidy(entry: Entry<L>): void {
    if (entry.queue.length > 0) return
    turns.delete(entry)
    if (entry.size > 0 || !entries.delete(entry.key)) return
    frequency.end(entry.key, entry.tally)
  }

  return {
    members,
    entries,
    state: () => ({ budget, perKey, maxOpening, entries, turns, idle, usesOf, usesPerOpen, instances, ...counts }),
    entry(key) {
      let entry = entries.get(key)
      if (!entry) {
        const queue = createQueue<L>(acquireTimeout)
        const tally = frequency.begin(key)
        const counts = { size: 0, live: 0, opening: 0, inUse: 0 }
        entry = { key, queue, idle: [], ...counts, gathering: null, tally, used: 0, growAfter: 0, lentAt: 0 }
        entries.set(key, entry)
      }
      return entry
    },
    someoneWaits: () => turns.size > 0,
    othersWait: entry => turns.size > (turns.has(entry) ? 1 : 0),
    waits: entry => void turns.add(entry),
    served(entry) {
      turns.delete(entry)
      if (entry.queue.length > 0) turns.add(entry)
    },
    tidy,
    refused: ({ key }) => count.one('refused', key),
    opening(entry, connection) {
      const member: Member<L> = {
        connection,
        entry,
        company: createCompany(fastMs),
        ghosts: 0,
        state: 'opening',
        idleSince: 0,
        usedWhenIdle: 0,
        retiring: false,
        closing: null,
      }
      usesPerOpen += (usesSinceOpen - usesPerOpen) * OPENS_REMEMBERED
      usesSinceOpen = 0
      members.add(member)
      counts.total++
      counts.opening++
      entry.size++
      entry.live++
      entry.opening++
      return member
    },
    opened(member) {
      member.state = 'idle'
      counts.opening--
      member.entry.opening--
      count.one('opened', member.entry.key)
    },
    rests(member) {
      member.state = 'idle'
      member.idleSince = performance.now()
      member.usedWhenIdle = member.entry.used
      member.entry.idle.push(member)
      idle.add(member)
    },
    leased(member) {
      const at = member.entry.idle.lastIndexOf(member)
      if (at >= 0) member.entry.idle.splice(at, 1)
      idle.delete(member)
      member.state = 'leased'
      member.entry.inUse++
      member.entry.lentAt = performance.now()
      used(member.entry)
    },
    joined: member => used(member.entry),
    returned(member) {
      member.entry.inUse--
      if (member.entry.gathering === member) member.entry.gathering = null
    },
    closes(member, reason) {
      member.closing = reason
      if (reason === 'taken') count.one('taken', member.entry.key)
      counts.closing++
    },
    leaves(member) {
      const { entry, state } = member
      const at = entry.idle.indexOf(member)
      if (at >= 0) entry.idle.splice(at, 1)
      idle.delete(member)
      member.state = 'leaving'
      if (entry.gathering === member) entry.gathering = null
      entry.live--
      if (state !== 'opening') return false
      counts.opening--
      entry.opening--
      return true
    },
    gone(member) {
      members.delete(member)
      counts.total--
      member.entry.size--
      if (member.closing) counts.closing--
      tidy(member.entry)
    },
    info() {
      const keys = new Map<string, ConnectionCounts>()
      let inUse = 0
      let waiting = 0
      for (const { key, size, idle, queue, inUse: used, opening } of entries.values()) {
        inUse += used
        waiting += queue.length
        keys.set(key, { open: size, idle: idle.length, inUse: used, opening, waiting: queue.length })
      }
      const { total: open, opening } = counts
      const now = { open, idle: idle.size, inUse, opening, waiting, budget }
      return { ...now, ...count.all, keys, counted: count.perKey }
    },
  }
}
