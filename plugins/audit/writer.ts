// The writer of audit rows: from memory into the log in batches, in the order of their chain, by one write at a time.
// Invariants: the buffer is bounded; rows that did not fit are counted and become one row (`gap`); a write that failed is
// repeated unchanged. If the central database is down: rows wait; after its deadline the sink counts as stuck, and calls that
// need a row (admin routes) are refused.
import { guarded } from '../../timing/timers.js'
import type { SqlClient } from '../distributed-tenant/index.js'
import { type AuditRecord, type AuditRow, type Chain, createChain } from './rows.js'
import { moveInbox, writeRows } from './store.js'

export interface WriterOptions {
  readonly central: SqlClient
  /** Called with every row once it has its place: for a log stream that lives elsewhere. */
  readonly onRow?: ((row: AuditRow) => void) | undefined
  readonly report: (event: AuditReport) => void
  /** Rows kept in memory at most. Default 10,000; the last tenth is kept free for calls of operators. */
  readonly capacity?: number
  /** Milliseconds between writes. Default 250. */
  readonly intervalMs?: number
  /** Milliseconds a write may take. Default 5,000. */
  readonly writeTimeoutMs?: number
}

export interface AuditReport {
  readonly type: 'written' | 'write_failed' | 'gap'
  /** Rows written, or left out. */
  readonly count: number
  readonly error?: unknown
}

export interface AuditStatus {
  /** False once rows have waited for longer than {@link STUCK_MS}, or the buffer is full. */
  readonly accepting: boolean
  readonly waiting: number
  /** Rows left out since the start. */
  readonly missed: number
  readonly lastError: string | null
}

export interface AuditWriter {
  /**
   * Never throws and never waits.
   * @param anyones any client can cause it, without a token: it takes no room that is kept for calls of operators
   */
  record(record: AuditRecord, anyones?: boolean): void
  /** Changes of tenants wait in the inbox: read it soon. */
  changesWait(): void
  status(): AuditStatus
  /** Writes the waiting rows, as far as the deadline allows, and the end of the chain. Safe to call twice. */
  close(deadlineMs: number): Promise<void>
}

const BATCH = 1_000
const INBOX_BATCH = 200
/** Share of the buffer that rows of requests may fill: a flood of them leaves room for operators' calls. */
const SHARE_OF_ALL = 0.9
/** Rows that waited longer than this make the sink count as stuck. */
export const STUCK_MS = 10_000

export function createWriter(options: WriterOptions): AuditWriter {
  const { central, report } = options
  const { capacity = 10_000, intervalMs = 250, writeTimeoutMs = 5_000 } = options
  let chain: Chain = createChain()
  const buffer: AuditRecord[] = [started(chain)]
  /** Has its place and is being written, repeatedly until it is stored. */
  let batch: AuditRow[] = []
  let gap: { count: number; from: Date; to: Date } | null = null
  let missed = 0
  let inbox = true
  let waitingSince = performance.now()
  let lastError: string | null = null
  /** The month of the last row that got a place, counted from year 0. */
  let reached = Number.NEGATIVE_INFINITY
  let writing: Promise<void> | null = null
  let closed: Promise<void> | null = null
  let timer: NodeJS.Timeout | undefined

  const waiting = (): number => buffer.length + batch.length

  function record(record: AuditRecord, anyones = false): void {
    const hasRoomKept = !anyones && (record.kind === 'admin' || record.kind === 'process')
    if (waiting() >= (hasRoomKept ? capacity : capacity * SHARE_OF_ALL)) {
      leaveOut()
      return
    }
    if (waiting() === 0) waitingSince = performance.now()
    buffer.push(record.at ? record : { ...record, at: new Date() })
    if (buffer.length >= BATCH) guarded(flush)
    else schedule(intervalMs)
  }

  function leaveOut(): void {
    const now = new Date()
    missed++
    gap ??= { count: 0, from: now, to: now }
    gap.count++
    gap.to = now
  }

  function schedule(ms: number): void {
    timer ??= setTimeout(() => {
      timer = undefined
      guarded(flush)
    }, ms).unref()
  }

  function flush(): Promise<void> {
    writing ??= work().finally(() => {
      writing = null
      if (waiting() > 0 || inbox || gap) schedule(lastError ? 1_000 : intervalMs)
    })
    return writing
  }

  async function work(): Promise<void> {
    try {
      if (waiting() > 0 || gap) await writeBatch()
      // Less than a batch waits for its interval: written at once, a few rows at a time, each would cost many round trips.
      while (buffer.length >= BATCH) await writeBatch()
      while (inbox) await writeChanges()
      lastError = null
    } catch (error) {
      lastError = error instanceof Error ? error.message : String(error)
      report({ type: 'write_failed', count: waiting(), error })
    }
  }

  async function writeBatch(): Promise<void> {
    if (batch.length === 0) {
      const records = buffer.splice(0, BATCH)
      if (buffer.length === 0 && gap) records.push(gapRecord(gap))
      batch = place(records)
      chain.advance(batch)
      for (const row of batch) options.onRow?.(row)
    }
    await writeRows(central, batch, writeTimeoutMs)
    report({ type: 'written', count: batch.length })
    batch = []
    waitingSince = performance.now()
  }

  /** From now on rows fit again. */
  function gapRecord({ count, from, to }: NonNullable<typeof gap>): AuditRecord {
    gap = null
    report({ type: 'gap', count })
    const detail = { count, from: from.toISOString(), to: to.toISOString() }
    return { kind: 'gap', result: 'missed', detail, at: new Date() }
  }

  async function writeChanges(): Promise<void> {
    let rows: readonly AuditRow[]
    try {
      rows = await moveInbox(central, INBOX_BATCH, place)
    } catch (error) {
      // It is unknown whether they are stored: their places are never given to others.
      beginAnew()
      throw error
    }
    chain.advance(rows)
    for (const row of rows) options.onRow?.(row)
    if (rows.length > 0) report({ type: 'written', count: rows.length })
    inbox = rows.length === INBOX_BATCH
  }

  /**
   * Months never go back within a chain: the head of a month would otherwise lie behind rows of a later one, and no longer
   * fit once the earlier is dropped. Where a clock was set back, a new chain begins.
   */
  function place(records: readonly AuditRecord[]): AuditRow[] {
    const rows: AuditRow[] = []
    let from = 0
    records.forEach((record, index) => {
      const month = monthNumber(record.at ?? new Date())
      if (month < reached) {
        const before = chain.place(records.slice(from, index))
        chain.advance(before)
        rows.push(...before)
        beginAnew()
        from = index
      }
      reached = month
    })
    return [...rows, ...chain.place(records.slice(from))]
  }

  function beginAnew(): void {
    const before = chain
    chain = createChain()
    buffer.unshift(started(chain, before))
  }

  async function close(deadlineMs: number): Promise<void> {
    clearTimeout(timer)
    const deadline = performance.now() + deadlineMs
    record({ kind: 'process', result: 'ended' })
    inbox = true
    do {
      await Promise.race([flush(), new Promise(resolve => setTimeout(resolve, deadlineMs).unref())])
    } while ((waiting() > 0 || inbox) && !lastError && performance.now() < deadline)
    clearTimeout(timer)
  }

  schedule(intervalMs)
  return {
    record,
    changesWait() {
      inbox = true
      schedule(intervalMs)
    },
    status() {
      const stuck = waiting() > 0 && performance.now() - waitingSince > STUCK_MS
      return { accepting: !stuck && waiting() < capacity, waiting: waiting(), missed, lastError }
    },
    close(deadlineMs) {
      closed ??= close(deadlineMs)
      return closed
    },
  }
}

const monthNumber = (at: Date): number => at.getUTCFullYear() * 12 + at.getUTCMonth()

function started(chain: Chain, before?: Chain): AuditRecord {
  const follows = before && { follows: before.id, seq: before.head.seq, hash: before.head.hash }
  return {
    kind: 'process',
    result: 'started',
    detail: { chain: chain.id, pid: process.pid, ...follows },
    at: new Date(),
  }
}
