// The parts of one service that a transfer needs: its central database, its instance, and its notifications. Types only.

import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import type { MoveProgress, TransferReport } from '../../plugins/distributed-tenant/diagnostics/steps.js'
import type {
  RegistryRow,
  ServiceName,
  SessionClient,
  SqlClient,
  TenantId,
} from '../../plugins/distributed-tenant/types.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'

export interface TransferParts {
  readonly service: ServiceName
  readonly central: SqlClient
  /** This service's instance and login. */
  readonly database: DatabaseOptions
  readonly session: <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
  readonly withDirectConnection: <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>
  /** The same on one of its instances; `main` is the one above. */
  readonly placeAt: (instance: string) => Pick<TransferParts, 'database' | 'session' | 'withDirectConnection'>
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  /** Drops the leftovers of a deleted tenant, now: for one whose data is still at its source. */
  readonly removeNow: (id: TenantId) => Promise<RegistryRow>
  readonly report: (event: TransferReport | MoveProgress) => void
}
