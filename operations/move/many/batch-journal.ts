// The journal of drains and rebalances in a service's central database: what is to be moved, and what became of each tenant. Each
// tenant's move has a run of its own in the journal of transfers, which is noted here before it is begun.
// If the database is down: nothing is begun.

import { randomBytes } from 'node:crypto'
import type { QueryClient, SqlClient, TenantId } from '../../../plugins/distributed-tenant/types.js'

export type BatchKind = 'drain' | 'rebalance'
/** `stopped`: interrupted. One that has tried every tenant is `done`, whatever became of them. */
export type BatchState = 'running' | 'done' | 'stopped'

export interface Batch {
  readonly id: string
  readonly kind: BatchKind
  /** The instance that is drained. */
  readonly instance: string | null
  readonly state: BatchState
  readonly startedAt: Date
}

export interface BatchTenant {
  readonly id: TenantId
  readonly to: string
  readonly bytes: number
  readonly state: 'pending' | 'moving' | 'moved' | 'failed'
  /** In the journal of transfers. */
  readonly run: string | null
  readonly error: string | null
}

export type PlannedTenant = Pick<BatchTenant, 'id' | 'to' | 'bytes'>

export interface BatchJournal {
  begin(batch: Pick<Batch, 'kind' | 'instance'>, tenants: readonly PlannedTenant[]): Promise<Batch>
  /** The newest one of its kind and instance that was killed or interrupted. */
  unfinished(kind: BatchKind, instance: string | null): Promise<Batch | null>
  /** Adds tenants; those that are there and not moved get the new target. */
  add(batch: string, tenants: readonly PlannedTenant[]): Promise<void>
  tenants(batch: string): Promise<BatchTenant[]>
  note(batch: string, tenant: TenantId, change: Pick<BatchTenant, 'state'> & Partial<BatchTenant>): Promise<void>
  end(batch: string, state: BatchState): Promise<void>
  list(limit: number): Promise<Batch[]>
  /** Null for one that is not there. */
  find(batch: string): Promise<Batch | null>
  stateOf(batch: string): Promise<BatchState | null>
  /** After the tenants under way, wherever it runs. @returns false for one that does not go on */
  stop(batch: string): Promise<boolean>
  /** The run of a tenant that a batch has begun, and that has not ended. */
  openRun(tenant: TenantId): Promise<string | null>
}

export function createBatchJournal(central: SqlClient): BatchJournal {
  const batches = (sql: QueryClient) => sql`
    select id, kind, instance, state, started_at as "startedAt" from move_batches`

  const insert = async (sql: QueryClient, batch: string, tenants: readonly PlannedTenant[]): Promise<void> => {
    for (const { id, to, bytes } of tenants) {
      await sql`
        insert into move_batch_tenants (batch_id, tenant_id, target, bytes) values (${batch}, ${id}, ${to}, ${bytes})
        on conflict (batch_id, tenant_id) do update
          set target = excluded.target, bytes = excluded.bytes, state = 'pending', error = null, updated_at = now()`
    }
  }

  return {
    async begin({ kind, instance }, tenants) {
      const id = `${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(3).toString('hex')}`
      return central.begin(async tx => {
        await tx`insert into move_batches (id, kind, instance) values (${id}, ${kind}, ${instance})`
        await insert(tx, id, tenants)
        const [batch] = await tx<Batch[]>`${batches(tx)} where id = ${id}`
        return batch as Batch
      })
    },
    async unfinished(kind, instance) {
      const [batch] = await central<Batch[]>`
        ${batches(central)} where kind = ${kind} and instance is not distinct from ${instance} and state <> 'done'
        order by started_at desc limit 1`
      return batch ?? null
    },
    add: (batch, tenants) => central.begin(tx => insert(tx, batch, tenants)),
    tenants: async batch =>
      central<BatchTenant[]>`
        select tenant_id as id, target as to, bytes::float8 as bytes, state, transfer_id as run, error
        from move_batch_tenants where batch_id = ${batch} order by bytes desc, tenant_id`,
    async note(batch, tenant, { state, run, error }) {
      await central`
        update move_batch_tenants set state = ${state}, updated_at = now(), error = ${error?.slice(0, 1_000) ?? null}
          ${run === undefined ? central`` : central`, transfer_id = ${run}`}
        where batch_id = ${batch} and tenant_id = ${tenant}`
    },
    async end(batch, state) {
      await central`
        update move_batches set state = ${state}, ended_at = case when ${state} = 'running' then null else now() end
        where id = ${batch}`
    },
    async find(id) {
      const [batch] = await central<Batch[]>`${batches(central)} where id = ${id}`
      return batch ?? null
    },
    async stateOf(id) {
      const [row] = await central<{ state: BatchState }[]>`select state from move_batches where id = ${id}`
      return row?.state ?? null
    },
    async stop(id) {
      const { count } = await central`
        update move_batches set state = 'stopped', ended_at = now() where id = ${id} and state = 'running'`
      return count > 0
    },
    list: async limit => central<Batch[]>`${batches(central)} order by started_at desc limit ${limit}`,
    async openRun(tenant) {
      const [row] = await central<{ run: string }[]>`
        select transfer_id as run from move_batch_tenants join transfer_tenants using (transfer_id, tenant_id)
        where tenant_id = ${tenant} and step not in ('pending', 'switched', 'following', 'dropped', 'undone')
        order by transfer_tenants.updated_at desc limit 1`
      return row?.run ?? null
    },
  }
}
