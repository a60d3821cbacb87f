// The types of one pool's state: its connections, its slots, and the view that the policy reads.

import type { Connection } from '../connections/connection.js'
import type { CloseReason } from '../reports.js'
import type { SharedConnection } from './statement-sharing.js'
import type { Tally } from './usage-frequency.js'
import type { KeyQueue } from './wait-queue.js'

export interface PooledConnection<L> {
  readonly connection: Connection
  readonly slot: TenantSlot<L>
  /** The statements that run on it. */
  readonly sharing: SharedConnection
  /** Of those, the ones whose caller has gone. */
  abandoned: number
  /** `leaving`: closed by the pool or lost; it counts against the budget until the server has closed it. */
  state: 'opening' | 'idle' | 'leased' | 'leaving'
  idleSince: number
  /** The number of uses of its key at that time. */
  usedWhenIdle: number
  /** To be reset before its next statement. */
  unclean: boolean
  /** To be closed when it is returned. */
  closeOnReturn: boolean
  /** Why the pool closed it, null while it has not. */
  closing: CloseReason | null
}

/** The state of one key. */
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
  /** The connection that its statements share. */
  shared: PooledConnection<L> | null
  /** How often it is used, of late and in all. */
  readonly tally: Tally
  used: number
  /** After a connect that failed beside connections that work, no other is tried before (`performance.now()`). */
  growAfter: number
  /** When a connection of it was leased last (`performance.now()`). */
  lentAt: number
}

export interface PoolView<L> {
  readonly budget: number
  readonly perKey: number
  readonly maxOpening: number
  /** How long a key may wait, in milliseconds. */
  readonly acquireTimeout: number
  /** Every key that has a connection or waits for one. */
  readonly slots: ReadonlyMap<string, TenantSlot<L>>
  /** Keys with waiters, in the order in which they are served. */
  readonly waiting: ReadonlySet<TenantSlot<L>>
  /** Idle connections, the one idle for longest first. */
  readonly idle: ReadonlySet<PooledConnection<L>>
  readonly total: number
  readonly opening: number
  /** Connections that the pool has closed and the server has not yet. */
  readonly closing: number
  /** How often a key was used of late. */
  readonly usesOf: (slot: TenantSlot<L>) => number
  /** Leases for each connection opened, of late. */
  readonly usesPerOpen: number
  /** Set when keys are of several instances; without it they are of one, which may have the whole budget. */
  readonly instances?: InstanceShares | undefined
}

/** The quota of each key's instance in the budget. */
export interface InstanceShares {
  /** Connects under way to it: so many may be under way to each instance. */
  opening(key: string): number
  /** Whether it has used up its quota: then only its own connections are evicted for its keys. */
  full(key: string): boolean
  same(key: string, other: string): boolean
}
