// The table `outbox`: rows written in the transaction of the change that they publish, claimed, recorded, swept.
// Invariants: a claimed row is its tenant's oldest, and locked until the transaction ends; a row is not deleted before it was
// published and its retention is over.

import type { TenantId } from '../../../events/index.js'
import { collectHeaders } from '../diagnostics/outgoing-events.js'
import type { JsonObject, QueryClient, SqlClient } from '../types.js'

/** As long as the stream keeps its events: a stream that is lost is filled again from these rows. */
export const RETENTION_DAYS = 30

export interface OutboxMessage {
  readonly tenantId: TenantId
  readonly subject: string
  /** The stream drops a second message of this id within its window. */
  readonly messageId: string
  readonly payload: object
  readonly headers?: Record<string, string>
}

/** Call it inside the transaction of the change. A message id that is there already is not written again. */
export async function writeOutbox(sql: QueryClient, message: OutboxMessage): Promise<void> {
  const headers = { ...message.headers }
  collectHeaders({ subject: message.subject, tenantId: message.tenantId, headers })
  await sql`
    insert into outbox (message_id, tenant_id, subject, payload, headers)
    values (${message.messageId}, ${message.tenantId}, ${message.subject}, ${sql.json(message.payload as never)},
            ${sql.json(headers)})
    on conflict (message_id) do nothing`
}

export interface OutboxRow {
  readonly seq: string
  readonly messageId: string
  readonly subject: string
  readonly payload: JsonObject
  readonly headers: Record<string, string>
}

/**
 * Locks up to `limit` rows, of each tenant only the oldest that waits: another relay may hold it, and then the tenant waits
 * for that relay.
 */
export function claimRows(sql: QueryClient, limit: number): PromiseLike<OutboxRow[]> {
  return sql<OutboxRow[]>`
    select seq, message_id as "messageId", subject, payload, headers
    from outbox this
    where published_at is null and refused_at is null and not exists (
      select 1 from outbox older where older.tenant_id = this.tenant_id and older.seq < this.seq
        and older.published_at is null and older.refused_at is null)
    order by seq limit ${limit} for update skip locked`
}

export interface Outcome {
  readonly seq: string
  readonly state: 'published' | 'failed' | 'refused'
  readonly streamSeq?: number
  readonly error?: string
}

/** One statement for a whole batch. `streamCreated` is the stream as it was before the batch was sent. */
export async function recordOutcomes(
  sql: QueryClient,
  outcomes: readonly Outcome[],
  streamCreated: string,
): Promise<void> {
  await sql`
    update outbox set attempts = attempts + 1, last_error = one.error,
      published_at = case when one.state = 'published' then now() end,
      refused_at = case when one.state = 'refused' then now() end,
      stream_seq = one."streamSeq",
      stream_created = case when one.state = 'published' then ${streamCreated} else stream_created end
    from jsonb_to_recordset(${sql.json(outcomes as never)})
      as one (seq bigint, state text, "streamSeq" bigint, error text)
    where outbox.seq = one.seq`
}

/** Deletes published rows past their retention, `batch` at a time so that no other statement waits long. @returns how many */
export async function sweepOutbox(sql: SqlClient, batch = 1_000): Promise<number> {
  for (let swept = 0; ; ) {
    const { count } = await sql`
      delete from outbox where seq in (
        select seq from outbox where published_at < now() - ${RETENTION_DAYS} * interval '1 day'
        order by published_at limit ${batch} for update skip locked)`
    swept += count
    if (count < batch) return swept
  }
}
