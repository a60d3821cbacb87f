// The arguments of pg_dump and pg_restore that say what of a database is copied: rights, definitions, rows, views, a snapshot.
// Invariant: owners, tablespaces and subscriptions are never copied, and a restore ends at its first error.
import type { MaterializedView } from './materialized-views.js'

export interface What {
  /** With rights and our own schema, for another database of the same service, which has the same roles. */
  readonly whole?: boolean
  /** Default: with `whole`. */
  readonly publications?: boolean
  /** No rows. */
  readonly definitions?: boolean
  /** The snapshot of a transaction that is kept open, which is dumped. */
  readonly snapshot?: string | undefined
  /** The materialized views of the dumped database, which are left without rows. */
  readonly views?: readonly Pick<MaterializedView, 'pattern'>[]
}

const always = ['--no-owner', '--no-tablespaces', '--no-subscriptions', '--lock-wait-timeout=60000']
/**
 * A connection whose other end vanished without closing it is given up after two minutes, where the system takes hours.
 * Not by tcp_user_timeout, which also ends one whose other end is only slow to read.
 * No environment variable sets it; the database's name is left to PGDATABASE.
 */
export const connected = '--dbname=keepalives_idle=60 keepalives_interval=15 keepalives_count=4'
/** Owners and rights are the target's own; our schema's rows belong to the database they are in. */
const foreign = ['--no-privileges', '--exclude-schema=distributed_tenant']
/** Rows of materialized views are no part of a dump: made anew within it, they are made without the names that they need. */
export const dumpedOf = ({
  whole = false,
  publications = whole,
  definitions = false,
  views = [],
  snapshot,
}: What): string[] => [
  ...always,
  ...(publications ? [] : ['--no-publications']),
  ...(whole ? [] : foreign),
  ...(snapshot === undefined ? [] : [`--snapshot=${snapshot}`]),
  ...(definitions ? ['--schema-only'] : views.map(({ pattern }) => `--exclude-table-data=${pattern}`)),
]
export const restoredOf = ({ whole = false, publications = whole, definitions = false }: What): string[] => [
  '--no-owner',
  ...(publications ? [] : ['--no-publications']),
  '--exit-on-error',
  ...(whole ? [] : ['--no-privileges']),
  ...(definitions ? ['--schema-only'] : []),
]
