// What the pool and the client report of their work: the types of the steps and of the counts. Types only. Durations are in
// milliseconds. A key is the name of a database, or what stands for one.

/** Why a connection was closed, for the diagnostics channel. */
export type CloseReason = 'idle' | 'evicted' | 'yielded' | 'released' | 'lost' | 'shutdown'

export type PoolReport =
  | { readonly type: 'opening' | 'opened'; readonly key: string; readonly ms: number }
  | { readonly type: 'open_failed'; readonly key: string; readonly ms: number; readonly error: Error }
  | { readonly type: 'closed'; readonly key: string; readonly reason: CloseReason }

/** `refused`: the wait for the budget was over. */
export interface LeaseReport {
  readonly type: 'leased' | 'refused'
  readonly key: string
  readonly waitedMs: number
}

/** `statement` is the same object at both ends. All but `ended` are published in the context of the caller. */
export type QueryReport =
  | { readonly type: 'waited'; readonly key: string; readonly ms: number; readonly error?: unknown }
  | { readonly type: 'sent'; readonly key: string; readonly statement: object; readonly operation: string }
  | { readonly type: 'ended'; readonly key: string; readonly statement: object; readonly error?: unknown }

export interface ConnectionCounts {
  /** Connections counted at the socket, from before connect until the server has closed them. */
  readonly open: number
  readonly idle: number
  readonly inUse: number
  readonly opening: number
  /** Statements and transactions that wait for one. */
  readonly waiting: number
}
