// The table `dead_events`: events that cannot be applied as they are, and parked ones that a newer release may know.
// Invariants: the same message twice is one row; a replay takes the path of the event and records its result; resolved rows
// are kept for a while.
// If the database is down: it throws, and the message is delivered again.

import { DeadEvent, type DeadLetter } from '../../../events/index.js'
import type { DeadLettersReport } from '../diagnostics/steps.js'
import type { SqlClient } from '../types.js'

export interface DeadRow {
  /** As text: the table's own number. */
  readonly id: string
  readonly subject: string
  readonly reason: string
  /** It came from a newer release: replayed without an operator when a release that knows it starts. */
  readonly parked: boolean
  readonly receivedAt: Date
  readonly replays: number
  /** The error of the last replay. */
  readonly lastError: string | null
  readonly resolution: 'replayed' | 'dropped' | null
  readonly resolvedAt: Date | null
}

/** `data` is the body as it came, which may be neither JSON nor UTF-8. */
export interface DeadContents extends DeadRow {
  readonly data: Buffer
  readonly headers: Readonly<Record<string, string>>
  readonly streamSeq: number | null
}

export type Replayed = { readonly ok: true } | { readonly ok: false; readonly error: string }

export interface DeadLetters {
  /** Stores one; called before the message is acknowledged. */
  keep(dead: DeadLetter): Promise<void>
  /** Oldest first; `after` is the last id of the page before. Resolved ones only when asked for. */
  list(page?: { after?: string; limit?: number; resolved?: boolean }): Promise<DeadRow[]>
  /** Null for an id that is not there. */
  show(id: string): Promise<DeadContents | null>
  /** Handles it again as if it had just come. @returns null for one that is not there or resolved already */
  replay(id: string): Promise<Replayed | null>
  /** Marks it as not needed. @returns false for one that is not there or resolved already */
  drop(id: string): Promise<boolean>
  /** Replays the parked ones; those that are still unknown stay parked. @returns how many were resolved */
  replayParked(): Promise<number>
  /** Deletes rows that were resolved long ago. */
  sweep(): Promise<number>
  /** `replayParked` and `sweep`, once at a start. Never rejects. */
  upkeep(): Promise<void>
}

export interface DeadLettersOptions {
  readonly central: SqlClient
  /** Parses and applies. @throws DeadEvent when it still cannot be applied, anything else when it may work later */
  readonly handle: (subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>) => Promise<void>
  readonly report: (event: DeadLettersReport) => void
}

const RESOLVED_DAYS = 30
const PAGE = 100

export function createDeadLetters({ central, handle, report }: DeadLettersOptions): DeadLetters {
  const columns = () => central`
    id::text, subject, reason, parked, received_at as "receivedAt", replays, last_error as "lastError", resolution,
    resolved_at as "resolvedAt"`

  async function show(id: string): Promise<DeadContents | null> {
    if (!/^\d{1,18}$/.test(id)) return null
    const [row] = await central<DeadContents[]>`
      select ${columns()}, data, headers, stream_seq::float8 as "streamSeq" from dead_events where id = ${id}`
    return row ?? null
  }

  async function replay(id: string): Promise<Replayed | null> {
    const row = await show(id)
    if (!row || row.resolution !== null) return null
    report({ type: 'replaying', id })
    try {
      await handle(row.subject, row.data, row.headers)
    } catch (error) {
      const message = (error instanceof Error ? error.message : String(error)).slice(0, 500)
      // Known to this release now, but faulty: it waits for an operator from here on.
      const parked = error instanceof DeadEvent ? error.parked : row.parked
      await central`
        update dead_events set replays = replays + 1, last_error = ${message}, parked = ${parked} where id = ${id}`
      report({ type: 'replay_failed', id, error: message })
      return { ok: false, error: message }
    }
    await central`
      update dead_events set replays = replays + 1, last_error = null, resolution = 'replayed', resolved_at = now()
      where id = ${id} and resolved_at is null`
    report({ type: 'replayed', id })
    return { ok: true }
  }

  async function replayParked(): Promise<number> {
    let done = 0
    let after = '0'
    for (;;) {
      const rows = await central<{ id: string }[]>`
        select id::text from dead_events where parked and resolved_at is null and id > ${after} order by id limit ${PAGE}`
      for (const { id } of rows) if ((await replay(id))?.ok) done++
      const last = rows.at(-1)
      if (!last || rows.length < PAGE) return done
      after = last.id
    }
  }

  async function sweep(): Promise<number> {
    const { count } = await central`
      delete from dead_events where resolved_at < now() - ${RESOLVED_DAYS} * interval '1 day'`
    if (count > 0) report({ type: 'swept', rows: count })
    return count
  }

  return {
    replayParked,
    sweep,
    async upkeep() {
      try {
        await replayParked()
        await sweep()
      } catch (error) {
        report({ type: 'upkeep_failed', error })
      }
    },
    async keep({ subject, streamCreated, streamSeq, reason, parked, data, headers }) {
      await central`
        insert into dead_events (subject, stream_created, stream_seq, reason, parked, data, headers)
        values (${subject}, ${streamCreated}, ${streamSeq}, ${reason}, ${parked}, ${Buffer.from(data)},
                ${central.json(headers)})
        on conflict (stream_created, stream_seq, subject) where stream_seq is not null do nothing`
      report({ type: 'kept', subject, reason, parked })
    },
    async list({ after = '0', limit = PAGE, resolved = false } = {}) {
      const behind = /^\d{1,18}$/.test(after) ? after : '0'
      return central<DeadRow[]>`
        select ${columns()} from dead_events
        where id > ${behind} ${resolved ? central`` : central`and resolved_at is null`}
        order by id limit ${Math.min(1_000, Math.max(1, limit))}`
    },
    show,
    replay,
    async drop(id) {
      if (!/^\d{1,18}$/.test(id)) return false
      const { count } = await central`
        update dead_events set resolution = 'dropped', resolved_at = now() where id = ${id} and resolved_at is null`
      if (count > 0) report({ type: 'dropped', id })
      return count > 0
    },
  }
}
