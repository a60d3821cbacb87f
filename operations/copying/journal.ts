// The journal of transfers in a service's central database: each step is recorded before it is begun, with the data that
// undoes it. Invariant: a step is written in one statement, and published after it. If the database is down: the step is not
// taken.
import type { TransferStep } from '../../plugins/distributed-tenant/diagnostics/steps.js'
import { TransferNotFound } from '../../plugins/distributed-tenant/errors.js'
import type { JsonObject, QueryClient, SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { Before } from './freeze.js'

export type TransferState = 'running' | 'done' | 'stopped' | 'rolled_back'

/** The tenant as identity gets it. */
export interface TenantFacts {
  readonly name: string
  readonly domain: string | null
  readonly settings: JsonObject
  readonly active: boolean
}

export interface TransferTenant {
  readonly id: TenantId
  readonly sourceDatabase: string
  readonly step: TransferStep
  readonly facts: TenantFacts
  readonly baseline: number
  readonly bytes: number
  /** Null while the source is open. */
  readonly frozen: Before | null
  readonly certificate: string | null
  readonly contents: string | null
  readonly error: string | null
  /** Of a move without a freeze, see move/online/link.ts. */
  readonly online: JsonObject | null
  /** Of a move that was switched: milliseconds for which writers were refused. */
  readonly frozenMs: number | null
}

export interface Transfer {
  readonly id: string
  readonly kind: string
  readonly source: string
  readonly state: TransferState
  readonly startedAt: Date
}

export type Planned = Pick<TransferTenant, 'id' | 'sourceDatabase' | 'facts' | 'baseline' | 'bytes'> &
  Partial<Pick<TransferTenant, 'certificate' | 'online'>>

export interface Journal {
  /** Records a new transfer and its tenants, all or nothing. */
  begin(transfer: Pick<Transfer, 'id' | 'kind' | 'source'>, tenants: readonly Planned[]): Promise<void>
  /** @throws TRANSFER_NOT_FOUND */
  find(id: string): Promise<Transfer>
  /** The newest first; of imports, unless another kind is named. */
  list(limit: number, kind?: string): Promise<Transfer[]>
  tenants(id: string): Promise<TransferTenant[]>
  /** Writes a step and its data. @returns the row as it is now */
  note(id: string, tenant: TenantId, change: Change): Promise<TransferTenant>
  end(id: string, state: TransferState): Promise<void>
}

export type Change = Partial<Pick<TransferTenant, 'step' | 'frozen' | 'certificate' | 'contents' | 'error' | 'online'>>

export function createJournal(central: SqlClient): Journal {
  const columns = (sql: QueryClient) => sql`
    tenant_id as id, source_database as "sourceDatabase", step, facts, baseline, bytes::float8 as bytes, frozen,
    certificate, contents, error, online, frozen_ms as "frozenMs"`
  const transfers = (sql: QueryClient) => sql<Transfer[]>`
    select id, kind, source, state, started_at as "startedAt" from transfers`

  return {
    async begin({ id, kind, source }, tenants) {
      await central.begin(async tx => {
        await tx`insert into transfers (id, kind, source) values (${id}, ${kind}, ${source})`
        for (const one of tenants) {
          await tx`
            insert into transfer_tenants (transfer_id, tenant_id, source_database, facts, baseline, bytes, certificate, online)
            values (${id}, ${one.id}, ${one.sourceDatabase}, ${tx.json(one.facts as never)}, ${one.baseline}, ${one.bytes},
              ${one.certificate ?? null}, ${one.online ? tx.json(one.online as never) : null})`
        }
      })
    },
    async find(id) {
      const found = (await transfers(central)).find(one => one.id === id)
      if (!found) throw new TransferNotFound()
      return found
    },
    list: async (limit, kind = 'import') =>
      central<Transfer[]>`
        select id, kind, source, state, started_at as "startedAt" from transfers where kind = ${kind}
        order by started_at desc limit ${limit}`,
    tenants: async id =>
      central<TransferTenant[]>`
        select ${columns(central)} from transfer_tenants where transfer_id = ${id} order by tenant_id`,
    async note(id, tenant, change) {
      const [row] = await central<TransferTenant[]>`
        update transfer_tenants set updated_at = now()
          ${change.step === undefined ? central`` : central`, step = ${change.step}`}
          ${change.frozen === undefined ? central`` : central`, frozen = ${change.frozen === null ? null : central.json(change.frozen as never)}`}
          ${change.certificate === undefined ? central`` : central`, certificate = ${change.certificate}`}
          ${change.contents === undefined ? central`` : central`, contents = ${change.contents}`}
          ${change.online === undefined ? central`` : central`, online = ${change.online === null ? null : central.json(change.online as never)}`}
          ${change.error === undefined ? central`` : central`, error = ${change.error?.slice(0, 1_000) ?? null}`}
        where transfer_id = ${id} and tenant_id = ${tenant}
        returning ${columns(central)}`
      if (!row) throw new TransferNotFound()
      return row
    },
    async end(id, state) {
      await central`
        update transfers set state = ${state}, ended_at = case when ${state} = 'running' then null else now() end
        where id = ${id}`
    },
  }
}
