// The leftovers of a handler in its session, each in the way that is hardest to notice. The next user of the same
// tenant must find none of it. All of them are things PostgreSQL keeps until the session ends.
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'

type Leave = (sql: SqlClient) => PromiseLike<unknown>

export const leftovers: readonly Leave[] = [
  sql => sql.unsafe(`set hunt.mark = 'left'`),
  sql => sql`select set_config('hunt.mark', 'left by a function', false)`,
  sql => sql.unsafe('create temp table hunt_left (n int)'),
  sql => sql`select pg_advisory_lock(42)`,
  sql => sql.unsafe('select pg_advisory_lock_shared(43)'),
  sql => sql.unsafe('set search_path = pg_catalog'),
  sql => sql.unsafe('set session characteristics as transaction read only'),
  sql => sql.unsafe('listen hunt'),
  sql => sql.unsafe('declare hunt_left cursor with hold for select 1'),
  sql => sql.begin(inside => inside.unsafe(`set session hunt.mark = 'left by a transaction'`)),
  sql => sql.begin(inside => inside`select pg_advisory_lock(44)`),
]

/** The same as texts, for an ORM to send. */
export const leftByText: readonly string[] = [
  `set hunt.mark = 'left'`,
  `select set_config('hunt.mark', 'left by a function', false)`,
  'create temp table hunt_left (n int)',
  'select pg_advisory_lock(42)',
  'select pg_advisory_lock_shared(43)',
  'set search_path = pg_catalog',
  'set session characteristics as transaction read only',
  'listen hunt',
  'declare hunt_left cursor with hold for select 1',
]
