// Owns the shapes of one pool's books: its connections, its keys, and what the policy is told of both. Types alone.

import type { Connection } from '../connections/connection.js'
import type { CloseReason } from '../diagnostics/steps.js'
import type { SharedConnection } from './statement-sharing.js'
import type { Tally } from './usage-frequency.js'
import type { KeyQueue } from './wait-queue.js'

export interface PooledConnection<L> {
  readonly connection: Connection
  readonly slot: TenantSlot<L>
  /** Whose statements run on it. */
  readonly sharing: SharedConnection
  /** Of those, the ones that nobody waits for any more. */
  abandoned: number
  /** `leaving`: closed by us or lost; its seat is taken until the server has let go. */
  state: 'opening' | 'idle' | 'leased' | 'leaving'
  idleSince: number
  /** How often its key had been used then. */
  usedWhenIdle: number
  /** To be closed when it comes back. */
  closeOnReturn: boolean
  /** Why we closed it, null while we have not. */
  closing: CloseReason | null
}

/** What the pool knows about one key. */
export interface TenantSlot<L> {
  readonly key: string
  readonly queue: KeyQueue<L>
  readonly idle: PooledConnection<L>[]
  /** Sockets of this key, opening and leaving ones included. */
  size: number
  /** Those that serve it or soon will: opening, idle or leased. */
  live: number
  opening: number
  inUse: number
  /** The connection on which its statements come together. */
  shared: PooledConnection<L> | null
  /** How often it is used, of late and in all. */
  readonly tally: Tally
  used: number
  /** After a connect that failed beside connections that work, no other is tried before (`performance.now()`). */
  growAfter: number
  /** When a connection of it was lent last (`performance.now()`). */
  lentAt: number
}

export interface PoolView<L> {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  /** Every key that has a connection or waits for one. */
  readonly slots: ReadonlyMap<string, TenantSlot<L>>
  /** Keys with waiters, in the order of their turn. */
  readonly waiting: ReadonlySet<TenantSlot<L>>
  /** Idle members, the one idle for longest first. */
  readonly idle: ReadonlySet<PooledConnection<L>>
  readonly total: number
  readonly opening: number
  /** Seats that we are about to get back from connections that we closed. */
  readonly closing: number
  /** How often a key was used of late. */
  readonly usesOf: (slot: TenantSlot<L>) => number
  /** Leases for each connection opened, of late. */
  readonly usesPerOpen: number
  /** Where keys are of several instances; without it they are of one, which may have the whole budget. */
  readonly instances?: InstanceShares | undefined
}

/** What of the budget the instance of a key may have. */
export interface InstanceShares {
  /** Connects under way to it: so many may be under way to each instance. */
  opening(key: string): number
  /** Whether it has all it may have: then only its own give way to its keys. */
  full(key: string): boolean
  same(key: string, other: string): boolean
}
