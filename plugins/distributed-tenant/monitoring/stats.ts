// The numbers about a service that cost a query: its registry, outbox, dead events, spares, and the lag of its consumers.
// Invariant: a part that does not answer in time is null, never zero and never an old number.
import { within } from '../../../timing/deadline.js'
import type { Figures } from '../api.js'
import type { InstanceAccess } from '../databases/instance-access.js'
import type { Streams } from '../provisioning/messaging.js'
import type { QueryClient, SqlClient } from '../types.js'

export interface FiguresParts {
  readonly central: SqlClient
  /** The newest tenant migration of this release. */
  readonly schemaVersion: number
  readonly streams: () => Streams | null
  /** The home instance first. */
  readonly instances: readonly Pick<InstanceAccess, 'name' | 'look'>[]
}

type Counted = NonNullable<Figures['stored']>

export function createFigures(parts: FiguresParts): (deadlineMs?: number) => Promise<Figures> {
  return async (deadlineMs = 1_000) => {
    const streams = parts.streams()
    const [stored, consumers, slots] = await Promise.all([
      orNull(deadlineMs, count(parts)),
      streams ? orNull(deadlineMs, streams.lag()) : null,
      Promise.all(
        parts.instances.map(async ({ name, look }) => ({ name, bytes: await orNull(deadlineMs, look(kept)) })),
      ),
    ])
    const known = slots.filter(({ bytes }) => bytes !== null)
    return {
      stored,
      consumers,
      moveSlotBytes: Object.fromEntries(known.map(({ name, bytes }) => [name, bytes as number])),
    }
  }
}

/** The most that one slot keeps: the log is one for all of them. Their names begin as operations/move/online/link.ts says. */
async function kept(sql: QueryClient): Promise<number> {
  const [row] = await sql<{ bytes: number }[]>`
    select coalesce(max(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
      restart_lsn)), 0)::float8 as bytes from pg_replication_slots where starts_with(slot_name, 'fdt_move_')`
  return row?.bytes ?? 0
}

/** One query for all of it: a scrape costs the central database one statement. */
async function count({ central, schemaVersion }: FiguresParts): Promise<Counted | null> {
  const [row] = await central<Counted[]>`
    with registry as (
      select lifecycle, provisioned, count(*)::int as count,
        (count(*) filter (where lifecycle <> 'deleted' and provisioned = 'ready'
          and coalesce(schema_version, 0) < ${schemaVersion}))::int as behind
      from tenants group by lifecycle, provisioned
    ), waiting as (
      select count(*)::int as waiting, coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest
      from outbox where published_at is null and refused_at is null
    )
    select
      (select coalesce(json_agg(json_build_object('lifecycle', lifecycle, 'provisioned', provisioned, 'count', count)
        order by lifecycle, provisioned), '[]') from registry) as registry,
      (select coalesce(sum(behind), 0)::int from registry) as "schemaBehind",
      (select json_build_object('waiting', waiting, 'oldestSeconds', oldest) from waiting) as outbox,
      (select coalesce(extract(epoch from now() - min(moving_at)), 0)::float8 from tenants where moving is not null) as "movingSeconds",
      (select count(*)::int from outbox where refused_at is not null) as "outboxRefused",
      (select count(*)::int from dead_events where resolved_at is null and not parked) as "deadEvents",
      (select count(*)::int from dead_events where resolved_at is null and parked) as "parkedEvents",
      (select count(*)::int from spares) as spares,
      array(select name from full_instances order by name) as "fullInstances",
      pg_database_size(current_database())::float8 as "centralBytes"`
  return row ?? null
}

const orNull = <T>(deadlineMs: number, question: Promise<T | null>): Promise<T | null> =>
  within(
    deadlineMs,
    question.catch(() => null),
    () => null,
  )
