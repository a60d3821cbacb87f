// One snapshot of one database: a transaction that stays open while programs and statements read it. Nothing
// is written. An abort cancels the running statement. If the server is down: the snapshot fails, with that error.
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { TransactionClient } from '../../plugins/distributed-tenant/types.js'
import { alike } from '../copying/compare-contents.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Place } from './tenant-place.js'

export interface Snapshot {
  readonly tx: TransactionClient
  /** For pg_dump. */
  readonly id: string
  /** ISO 8601, by the server's clock. */
  readonly at: string
  readonly server: { readonly major: number; readonly version: string }
  readonly database: {
    readonly name: string
    readonly bytes: number
    readonly encoding: string
    readonly collate: string
    readonly ctype: string
    readonly icuLocale: string | null
  }
  readonly migrations: readonly { readonly version: number; readonly name: string; readonly checksum: string }[]
}

interface Facts {
  readonly id: string
  readonly at: Date
  readonly pid: number
  readonly version: string
  readonly number: number
  readonly name: string
  readonly bytes: number
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  readonly icuLocale: string | null
  readonly migrated: boolean
}

/** @param set the migrations whose applied ones are read */
export async function inSnapshot<T>(
  place: Pick<Place, 'session' | 'withDirectConnection'>,
  { database, set, signal }: { database: string; set: string; signal?: AbortSignal | undefined },
  fn: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  return place.withDirectConnection(database, sql =>
    sql.begin('isolation level repeatable read read only', async tx => {
      await tx.unsafe(`set local idle_in_transaction_session_timeout = 0; ${alike}`)
      const [row] = await tx<Facts[]>`
        select pg_export_snapshot() as id, now() as at, pg_backend_pid() as pid,
          split_part(current_setting('server_version'), ' ', 1) as version,
          current_setting('server_version_num')::int as number, datname::text as name,
          pg_database_size(d.oid)::float8 as bytes, pg_encoding_to_char(encoding) as encoding, datcollate::text as collate,
          datctype::text as ctype, case when to_jsonb(d) ->> 'datlocprovider' = 'i'
            then coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') end as "icuLocale",
          to_regclass('distributed_tenant.schema_migrations') is not null as migrated
        from pg_database d where datname = current_database()`
      const { id, at, pid, version, number, migrated, ...facts } = row as Facts
      const migrations = migrated
        ? await tx<{ version: number; name: string; checksum: string }[]>`
            select version, name, checksum from distributed_tenant.schema_migrations where set = ${set} order by version`
        : []
      const cancel = (): void => {
        void place.session(other => other`select pg_cancel_backend(${pid})`).catch(() => {})
      }
      signal?.addEventListener('abort', cancel)
      try {
        return await fn({
          tx,
          id,
          at: at.toISOString(),
          server: { major: Math.floor(number / 10_000), version },
          database: facts,
          migrations: [...migrations],
        })
      } finally {
        signal?.removeEventListener('abort', cancel)
      }
    }),
  ) as Promise<T>
}

/** pg_dump reads no server that is newer than itself. @throws TRANSFER_REFUSED with the package to install */
export async function programsFor(programs: Programs, server: { readonly major: number }): Promise<number> {
  const major = await programs.version()
  if (major >= server.major) return major
  throw new TransferRefused(
    `pg_dump and pg_restore are of PostgreSQL ${major}, the server is ${server.major}: install postgresql-client-${server.major}, or name its folder with --programs.`,
  )
}
