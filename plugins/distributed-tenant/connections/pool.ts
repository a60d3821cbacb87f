// Owns the connections of one budget, keyed by database: who waits, who may open, whose idle connection is closed.
// Invariants: never more sockets than the budget, counted from before connect until the server has let go; an in-use
// connection is never taken; none is taken for a key that has one, unless the victim has been idle for long.
// A server that is gone costs each waiter one error; nothing here retries by itself.
import type { Connection } from './connection.js'
import { connectionClosed } from './failures.js'
import { createQueue, type KeyQueue, type Scope } from './queue.js'

/** Why a connection was closed, for the diagnostics channel. */
export type CloseReason = 'idle' | 'taken' | 'yielded' | 'released' | 'lost' | 'shutdown'

export type PoolReport =
  | { readonly type: 'opening' | 'opened'; readonly key: string; readonly ms: number }
  | { readonly type: 'open_failed'; readonly key: string; readonly ms: number; readonly error: Error }
  | { readonly type: 'closed'; readonly key: string; readonly reason: CloseReason }
  | { readonly type: 'leased'; readonly key: string; readonly waitedMs: number }
  | { readonly type: 'refused'; readonly key: string; readonly waitedMs: number }

export interface PoolOptions {
  readonly budget: number
  readonly perKey: number
  /** Milliseconds. */
  readonly acquireTimeout: number
  readonly idleTimeout: number
  /** Connects under way at a time: two to four keep the event loop and the server free (limits 3.4: 90x for a hot tenant). */
  readonly maxOpening: number
  readonly pooling: boolean
  readonly open: (key: string) => Connection
  /** What a waiter gets when its time is over. */
  readonly refusal: () => Error
  readonly report: (report: PoolReport) => void
}

/** `clean`: nothing was left behind. `reset`: something may have been. `destroy`: a query may still be running. */
export type ReleaseAs = 'clean' | 'reset' | 'destroy'

/** A claim on one connection. Released once; later calls do nothing. */
export interface Lease {
  readonly connection: Connection
  release(as: ReleaseAs): void
}

export interface PoolInfo {
  readonly open: number
  readonly idle: number
  readonly inUse: number
  readonly opening: number
  readonly waiting: number
  readonly budget: number
  readonly keys: ReadonlyMap<string, { open: number; idle: number; inUse: number; waiting: number }>
}

export interface Pool {
  /** @throws the refusal when the budget stays spent, or the error of the connect */
  acquire(key: string, scope: Scope): Promise<Lease>
  info(): PoolInfo
  /** Lets go of every idle connection of a key and of the others as they come back. */
  evict(key: string): Promise<void>
  /** Refuses waiters, closes what is idle, gives what is in use the deadline, then cuts it. */
  close(deadlineMs: number): Promise<void>
}

interface Member {
  readonly connection: Connection
  readonly entry: Entry
  idleSince: number
  leased: boolean
  closing: CloseReason | null
}

interface Entry {
  readonly key: string
  readonly queue: KeyQueue<Lease>
  readonly idle: Member[]
  /** Sockets of this key, opening and closing ones included. */
  size: number
  opening: number
  inUse: number
}

/** Own waiting before a key that has a connection asks for another (facts C4). */
const GROW_AFTER_MS = 5
/** A victim for a key that has a connection must have been idle this long. */
const COLD_MS = 50
const RESET_DEADLINE_MS = 5_000

/** Leaves nothing of a session but its prepared statements, in one round trip, also after a failed transaction (facts C2). */
const RESET =
  'rollback; reset session authorization; reset all; close all; unlisten *; select pg_advisory_unlock_all(); discard sequences; discard temp'

export function createPool(options: PoolOptions): Pool {
  const { budget, perKey, report } = options
  const entries = new Map<string, Entry>()
  /** Idle members, the one idle for longest first. */
  const idle = new Set<Member>()
  const members = new Set<Member>()
  /** Keys with waiters, in the order of their turn. */
  const turns = new Set<Entry>()
  let total = 0
  let opening = 0
  let closing = 0
  let over = false
  let growTimer: NodeJS.Timeout | null = null
  let drained: (() => void) | null = null

  const idleTimer = setInterval(closeExpired, Math.min(30_000, Math.max(20, options.idleTimeout / 4)))
  idleTimer.unref()

  function entryOf(key: string): Entry {
    let entry = entries.get(key)
    if (!entry) {
      entry = { key, queue: createQueue(options.acquireTimeout), idle: [], size: 0, opening: 0, inUse: 0 }
      entries.set(key, entry)
    }
    return entry
  }

  function forget(entry: Entry): void {
    if (entry.size === 0 && entry.queue.length === 0) entries.delete(entry.key)
  }

  async function acquire(key: string, scope: Scope): Promise<Lease> {
    if (over) throw options.refusal()
    const entry = entryOf(key)
    const member = entry.queue.length === 0 ? restingMember(entry) : null
    if (member) return lease(member, 0)
    turns.add(entry)
    const waiting = entry.queue.wait(scope, waitedMs => {
      report({ type: 'refused', key, waitedMs })
      settleTurn(entry)
      return options.refusal()
    })
    pump()
    return waiting
  }

  /** The one used last: the others may then become idle for long. */
  function restingMember(entry: Entry): Member | null {
    for (let member = entry.idle.pop(); member; member = entry.idle.pop()) {
      if (!member.connection.lost) return member
    }
    return null
  }

  function lease(member: Member, waitedMs: number): Lease {
    idle.delete(member)
    member.leased = true
    member.entry.inUse++
    report({ type: 'leased', key: member.entry.key, waitedMs })
    let released = false
    return {
      connection: member.connection,
      release(as) {
        if (released) return
        released = true
        if (as === 'destroy') member.connection.destroy(connectionClosed('the lease ended while its query was running'))
        if (as === 'reset' && !member.connection.lost) void reset(member)
        else giveBack(member)
      },
    }
  }

  async function reset(member: Member): Promise<void> {
    const timer = setTimeout(
      () => member.connection.destroy(connectionClosed('the reset took too long')),
      RESET_DEADLINE_MS,
    )
    try {
      await member.connection.run(RESET)
    } catch (error) {
      member.connection.destroy(error as Error)
    } finally {
      clearTimeout(timer)
      giveBack(member)
    }
  }

  function giveBack(member: Member): void {
    const { entry } = member
    member.leased = false
    entry.inUse--
    if (!member.connection.lost) {
      if (over) dismiss(member, 'shutdown')
      else if (!options.pooling) dismiss(member, 'released')
      else if (yields(entry)) dismiss(member, 'yielded')
      else offer(member)
    }
    pump()
  }

  /** Gives a connection to the next waiter of its key, or lets it rest. */
  function offer(member: Member): void {
    const { entry } = member
    const waiter = entry.queue.next()
    if (waiter) {
      waiter.resolve(lease(member, waiter.waited()))
    } else {
      member.idleSince = performance.now()
      entry.idle.push(member)
      idle.add(member)
    }
    settleTurn(entry)
  }

  /** After a key was served or refused: to the end of the line, or out of it. */
  function settleTurn(entry: Entry): void {
    turns.delete(entry)
    if (entry.queue.length > 0) turns.add(entry)
    else forget(entry)
  }

  /** True when a key without any connection has waited for longer than this one, and nothing else can be had for it. */
  function yields(entry: Entry): boolean {
    if (total < budget || closing > 0 || idle.size > 0) return false
    for (const other of turns) {
      if (other.size > 0 || other.queue.length === 0) continue
      return entry.size > 1 || entry.queue.length === 0 || other.queue.since < entry.queue.since
    }
    return false
  }

  /** Opens, or makes room for, whoever's turn it is. */
  function pump(): void {
    if (over) return
    let promised = closing
    let someoneShouldGrow = false
    for (const pass of ['without any', 'growing'] as const) {
      for (const entry of [...turns]) {
        if (opening >= options.maxOpening) return
        if ((pass === 'without any') !== (entry.size === 0)) continue
        if (entry.queue.length === 0) settleTurn(entry)
        if (entry.queue.length <= entry.opening || entry.size >= perKey) continue
        if (entry.size > 0 && performance.now() - entry.queue.since < GROW_AFTER_MS) {
          someoneShouldGrow = true
          continue
        }
        if (total < budget) {
          open(entry)
        } else if (promised > 0) {
          promised--
        } else {
          const victim = coldest(entry)
          if (victim) dismiss(victim, 'taken')
        }
      }
    }
    if (someoneShouldGrow && !growTimer) {
      growTimer = setTimeout(() => {
        growTimer = null
        pump()
      }, GROW_AFTER_MS)
    }
  }

  function coldest(entry: Entry): Member | null {
    const latest = entry.size === 0 ? Number.POSITIVE_INFINITY : performance.now() - COLD_MS
    for (const member of idle) {
      if (member.idleSince > latest) return null
      if (member.entry !== entry) return member
    }
    return null
  }

  function open(entry: Entry): void {
    const started = performance.now()
    const ms = () => performance.now() - started
    total++
    opening++
    entry.size++
    entry.opening++
    report({ type: 'opening', key: entry.key, ms: 0 })
    const member: Member = { connection: options.open(entry.key), entry, idleSince: 0, leased: false, closing: null }
    members.add(member)
    const settled = () => {
      opening--
      entry.opening--
    }
    member.connection.opened.then(
      () => {
        settled()
        report({ type: 'opened', key: entry.key, ms: ms() })
        if (over) dismiss(member, 'shutdown')
        else offer(member)
        pump()
      },
      error => {
        settled()
        report({ type: 'open_failed', key: entry.key, ms: ms(), error })
        // Each of those who waited for it is told; trying again for the next in line would make the last wait for all.
        for (let waiter = entry.queue.next(); waiter; waiter = entry.queue.next()) waiter.reject(error)
        settleTurn(entry)
        pump()
      },
    )
    void member.connection.closed.then(() => gone(member))
  }

  function dismiss(member: Member, reason: CloseReason): void {
    idle.delete(member)
    const at = member.entry.idle.indexOf(member)
    if (at >= 0) member.entry.idle.splice(at, 1)
    member.closing = reason
    closing++
    void member.connection.close()
  }

  function gone(member: Member): void {
    const { entry } = member
    members.delete(member)
    total--
    entry.size--
    if (member.closing) closing--
    idle.delete(member)
    const at = entry.idle.indexOf(member)
    if (at >= 0) entry.idle.splice(at, 1)
    report({ type: 'closed', key: entry.key, reason: member.closing ?? 'lost' })
    forget(entry)
    if (total === 0) drained?.()
    pump()
  }

  function closeExpired(): void {
    const expired = performance.now() - options.idleTimeout
    for (const member of idle) {
      if (member.idleSince > expired) return
      dismiss(member, 'idle')
    }
  }

  function info(): PoolInfo {
    const keys = new Map<string, { open: number; idle: number; inUse: number; waiting: number }>()
    let inUse = 0
    let waiting = 0
    for (const entry of entries.values()) {
      inUse += entry.inUse
      waiting += entry.queue.length
      keys.set(entry.key, {
        open: entry.size,
        idle: entry.idle.length,
        inUse: entry.inUse,
        waiting: entry.queue.length,
      })
    }
    return { open: total, idle: idle.size, inUse, opening, waiting, budget, keys }
  }

  return {
    acquire,
    info,
    async evict(key) {
      const entry = entries.get(key)
      if (!entry) return
      const members = [...entry.idle]
      for (const member of members) dismiss(member, 'released')
      await Promise.all(members.map(member => member.connection.closed))
    },
    async close(deadlineMs) {
      over = true
      clearInterval(idleTimer)
      if (growTimer) clearTimeout(growTimer)
      for (const entry of entries.values()) {
        for (let waiter = entry.queue.next(); waiter; waiter = entry.queue.next()) waiter.reject(options.refusal())
      }
      for (const member of [...idle]) dismiss(member, 'shutdown')
      if (total === 0) return
      let timer: NodeJS.Timeout | undefined
      await Promise.race([
        new Promise<void>(resolve => {
          drained = resolve
        }),
        new Promise<void>(resolve => {
          timer = setTimeout(resolve, deadlineMs)
        }),
      ])
      clearTimeout(timer)
      const left = [...members]
      for (const member of left) member.connection.destroy(connectionClosed('the process is shutting down'))
      await Promise.all(left.map(member => member.connection.closed))
    },
  }
}
