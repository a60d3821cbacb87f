// Owns what a transfer works with in one service: its central database, its instance, and who may be told. Types only.

import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import type { MigrationSet } from '../../plugins/distributed-tenant/databases/migrations.js'
import type { SessionClient } from '../../plugins/distributed-tenant/sql/client.js'
import type { RegistryRow, ServiceName, SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferStep } from './journal.js'

/** Of a backup and a restore. `restored` is in its place and not served; `committed`: identity has it. */
export type ArchiveStep = 'dumping' | 'dumped' | 'building' | 'built' | 'pending' | 'swapped' | 'committed' | 'finished'

/** Told after a step is written down, and between: `created` and `closed` are done and not yet written. */
export interface TransferReport {
  readonly type:
    | TransferStep
    | ArchiveStep
    | 'created'
    | 'closed'
    | 'restored'
    | 'handed_over'
    | 'registered'
    | 'removed'
    | 'thawed'
    | 'closed_to_writers'
  readonly id: TenantId
}

export interface TransferParts {
  readonly service: ServiceName
  readonly central: SqlClient
  /** This service's instance and login. */
  readonly database: DatabaseOptions
  readonly session: <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
  readonly visit: <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>
  /** The same on one of its instances; `main` is the one above. */
  readonly placeAt: (instance: string) => Pick<TransferParts, 'database' | 'session' | 'visit'>
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  /** Drops what a deleted tenant left, now: for one whose data is where it came from. */
  readonly removeNow: (id: TenantId) => Promise<RegistryRow>
  readonly report: (event: TransferReport) => void
}
