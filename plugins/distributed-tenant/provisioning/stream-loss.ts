// The detection of messages that the stream has lost, and their new publication. Compares the state of the stream with the
// state recorded last: made anew, rewound (it ends before a confirmed message), purged (it begins after a message that it
// should still hold), with a hole (messages between its first and its last are gone). A `created` that changes while the first message stays is no new stream: a node of a cluster of
// nats-server 2.10 may have another date after its restart. Invariant: then the newest event of each tenant whose message is gone waits in the outbox again;
// consumers go by version, so an event too many changes nothing.
// If NATS or the database is down: it throws, and the relay checks again later.

import type { Loss } from '../diagnostics/steps.js'
import { RETENTION_DAYS } from '../registry/outbox.js'
import type { SqlClient, TransactionClient } from '../types.js'

export interface StreamFacts {
  readonly created: string
  readonly firstSeq: number
  /** When the first message was stored: no other stream's has the same. */
  readonly firstTime: string
  readonly lastSeq: number
  /** How many messages between the first and the last are gone. */
  readonly missing: number
  /** The server whose copy this is. */
  readonly leader?: string | null
}

export interface StreamWatch {
  /** @returns the stream's `created`, and how many rows wait again if it had lost some */
  look(): Promise<{ created: string; loss: Loss | null; refed: number }>
  /**
   * A confirmed sequence of the batch under way: one at or below the end that was seen or confirmed before the batch, or one
   * that the batch has twice, proves that the stream went back in between.
   */
  confirmed(seq: number): boolean
  /** The batch is over: its sequences are the end that later ones must pass. */
  batchEnded(): void
}

/** Messages leave the stream by age too: a row this near its end is not missed. */
const AGED_DAYS = RETENTION_DAYS - 1
/** Rows that were recorded after the last check may have been confirmed before it. */
const IN_FLIGHT = 10_000
/** A stream that was put back from a copy begins with the same message: only one that was watched all the time has stayed. */
const WATCHED_MS = 60_000

export function createStreamWatch(options: {
  readonly central: SqlClient
  readonly stream: string
  /** The stream as it is, made where that is allowed. */
  readonly read: () => Promise<StreamFacts>
  readonly readMissing: () => Promise<number[]>
}): StreamWatch {
  const { central, stream, read, readMissing } = options
  /** Compared already. Copies of the stream on other servers may have other holes. */
  let holes = ''
  let known: (StreamFacts & { at: number }) | null = null
  let end = 0
  const inBatch = new Set<number>()
  let wentBackTo: number | null = null

  async function look(): Promise<{ created: string; loss: Loss | null; refed: number }> {
    for (;;) {
      const asked = wentBackTo
      // Before the stream: rows that others publish and record while it answers are no loss.
      const before = await readBefore(central, stream)
      const found = await read()
      const now = asked === null ? found : { ...found, lastSeq: Math.min(found.lastSeq, asked) }
      // Rows that this process published into another stream may have been recorded after every other check.
      const renamed = known !== null && known.created !== now.created && asked === null && stayed(known, now)
      const everything = known?.created !== now.created && !renamed
      const seenHoles = `${now.missing} ${now.leader} ${now.created}`
      const missing = now.missing === 0 || seenHoles === holes ? [] : await readMissing()
      const earlier = renamed ? (known?.created ?? null) : null
      const outcome =
        !everything && !renamed && missing.length === 0 && isAsSeen(before, now)
          ? nothing
          : await central.begin(sql => compare(sql, { stream, now, before, everything, missing, earlier }))
      // Another relay has checked in between, perhaps at a newer state: this check proves nothing.
      if (outcome === null) continue
      if (wentBackTo === asked) wentBackTo = null
      holes = seenHoles
      known = { ...found, at: performance.now() }
      end = found.lastSeq
      return { created: found.created, ...outcome }
    }
  }

  return {
    look,
    confirmed(seq) {
      if (seq > end && !inBatch.has(seq)) {
        inBatch.add(seq)
        return true
      }
      wentBackTo = Math.min(wentBackTo ?? seq - 1, seq - 1)
      return false
    },
    batchEnded() {
      end = Math.max(end, ...inBatch)
      inBatch.clear()
    },
  }
}

interface Found {
  readonly loss: Loss | null
  readonly refed: number
}

/** The same stream by another date: it still begins with the message it began with, and has lost none at its end. */
const stayed = (before: StreamFacts & { at: number }, now: StreamFacts): boolean =>
  before.lastSeq > 0 &&
  now.firstSeq === before.firstSeq &&
  now.firstTime === before.firstTime &&
  now.lastSeq >= before.lastSeq &&
  performance.now() - before.at < WATCHED_MS

const nothing: Found = { loss: null, refed: 0 }

/** The record of the last check by any relay, and the highest sequence that was confirmed to any of them. */
interface Before {
  readonly created: string
  readonly first: number
  readonly last: number
  readonly recorded: number
}

async function readBefore(sql: SqlClient, stream: string): Promise<Before> {
  const [row] = await sql<Before[]>`
    select created, first_seq::float8 as first, last_seq::float8 as last, coalesce(
      (select stream_seq from outbox where stream_seq is not null and stream_created = stream_seen.created
       order by stream_seq desc limit 1), 0)::float8 as recorded
    from stream_seen where stream = ${stream}`
  return row ?? { created: '', first: 0, last: 0, recorded: 0 }
}

const isAsSeen = (before: Before, now: StreamFacts): boolean =>
  before.created === now.created &&
  before.first === now.firstSeq &&
  before.last === now.lastSeq &&
  before.recorded <= now.lastSeq

/** @returns null when another relay has checked since `before` */
async function compare(
  sql: TransactionClient,
  {
    stream,
    now,
    before,
    everything,
    missing,
    earlier,
  }: {
    stream: string
    now: StreamFacts
    before: Before
    everything: boolean
    missing: readonly number[]
    /** The date by which the same stream was known. */
    earlier: string | null
  },
): Promise<Found | null> {
  const { created, first, last, recorded } = before
  await sql`
    insert into stream_seen (stream, created, first_seq, last_seq) values (${stream}, '', 0, 0) on conflict do nothing`
  const unchanged = await sql`
    select 1 from stream_seen
    where stream = ${stream} and created = ${created} and first_seq = ${first} and last_seq = ${last} for update`
  if (unchanged.length === 0) return null
  if (earlier !== null) await sql`update outbox set stream_created = ${now.created} where stream_created = ${earlier}`
  const other = created !== now.created && created !== earlier
  const otherInstances = everything || other ? sql`stream_created is distinct from ${now.created} or` : sql``
  const holes = missing.length > 0 ? sql`stream_seq = any(${missing as number[]}::bigint[]) or` : sql``
  const refed = await feedAgain(
    sql,
    now,
    sql`(${otherInstances} ${holes} (stream_seq > ${now.lastSeq} and stream_seq <= ${recorded})
      or (stream_seq < ${now.firstSeq} and stream_seq >= ${first - IN_FLIGHT}
        and published_at > now() - ${AGED_DAYS} * interval '1 day'))`,
  )
  await sql`
    update stream_seen set created = ${now.created}, first_seq = ${now.firstSeq}, last_seq = ${now.lastSeq}, seen_at = now()
    where stream = ${stream}`
  if (other) return created === '' && refed === 0 ? nothing : { loss: 'found_new', refed }
  if (now.lastSeq < last) return { loss: 'rewound', refed }
  if (refed === 0) return nothing
  if (now.firstSeq > first) return { loss: 'purged', refed }
  return { loss: missing.length > 0 ? 'hole' : 'rewound', refed }
}

/**
 * Of all rows whose message is gone, only the newest of each tenant is published again, of its lifecycle and of our status
 * each: it holds the whole state. The older ones are taken out of the count. Its message id is new, and no service can know it
 * beforehand: the stream drops a message whose id another has used.
 */
async function feedAgain(sql: TransactionClient, now: StreamFacts, gone: ReturnType<typeof sql>): Promise<number> {
  const rows = await sql<{ again: boolean }[]>`
    with gone as (
      select seq, tenant_id, subject ~ '^tenant\\.[a-z]+$' as lifecycle from outbox
      where published_at is not null and ${gone}
    ), judged as (
      select seq, not exists (
        select 1 from outbox newer where newer.tenant_id = gone.tenant_id and newer.seq > gone.seq
          and newer.refused_at is null and (newer.subject ~ '^tenant\\.[a-z]+$') = gone.lifecycle) as again
      from gone
    )
    update outbox set stream_created = ${now.created}, stream_seq = null,
      published_at = case when again then null else published_at end,
      fed = case when again then fed + 1 else fed end,
      message_id = case when again
        then regexp_replace(message_id, ':fed-.*$', '') || ':fed-' || fed + 1 || '-' || left(gen_random_uuid()::text, 8)
        else message_id end
    from judged where outbox.seq = judged.seq
    returning again`
  return rows.filter(row => row.again).length
}
