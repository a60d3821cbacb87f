// How the routes of the hunted service reach the database of their tenant: by the client of the request, or by an ORM over it.
import type { QueryClient, SqlClient } from '../../plugins/distributed-tenant/types.js'
import type { Orm, OrmOver, Runner } from '../orms/orm.js'
import { leftByText, leftovers } from './leftovers.js'

export interface Inside {
  /** The identity of the session, and the leftovers of its last user. */
  probe(): Promise<unknown>
  insert(token: string, tenant: string, kind: string): Promise<unknown>
  run(text: string): Promise<readonly unknown[]>
}

export interface Way extends Inside {
  transaction<T>(work: (inside: Inside) => Promise<T>): Promise<T>
  /** Leaves something in its session. */
  leave(which: number): Promise<unknown>
  stream(text: string, rows: number): AsyncIterable<readonly unknown[]>
}

export type WayOf = (sql: SqlClient) => Way

const PROBE = `
  select value as secret, current_setting('hunt.mark', true) as mark,
    to_regclass('hunt_left')::text as temporary, pg_current_xact_id_if_assigned()::text as transaction,
    (select count(*)::int from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') as locks,
    (select count(*)::int from pg_listening_channels()) as channels,
    (select count(*)::int from pg_cursors where is_holdable) as cursors,
    current_setting('search_path') as path, current_setting('default_transaction_read_only') as frozen,
    (select count(*)::int from hunt_writes where tenant < secret.tenant)
      + (select count(*)::int from hunt_writes where tenant > secret.tenant) as strangers
  from secret`
/** One template, whose statements may share a connection. */
const probe = Object.assign([PROBE], { raw: [PROBE] })

const inClient = (sql: QueryClient): Inside => ({
  probe: async () => (await sql(probe))[0],
  insert: (token, tenant, kind) =>
    sql`insert into hunt_writes (token, tenant, kind) values (${token}, ${tenant}, ${kind})`.then(),
  run: text => sql.unsafe(text).then(),
})

export const byClient: WayOf = sql => ({
  ...inClient(sql),
  transaction: <T>(work: (inside: Inside) => Promise<T>) => sql.begin(inside => work(inClient(inside))) as Promise<T>,
  leave: async which => leftovers[which % leftovers.length]?.(sql),
  stream: (text, rows) => sql.unsafe(text).cursor(rows),
})

const inOrm = (orm: Runner): Inside => ({
  probe: async () => (await orm.run(PROBE))[0],
  insert: (token, tenant, kind) =>
    orm.run('insert into hunt_writes (token, tenant, kind) values ($1, $2, $3)', [token, tenant, kind]),
  run: text => orm.run(text),
})

export const byOrm =
  (over: OrmOver): WayOf =>
  sql => {
    const orm: Orm = over(sql)
    return {
      ...inOrm(orm),
      transaction: work => orm.transaction(inside => work(inOrm(inside))),
      leave(which) {
        const text = leftByText[which % leftByText.length] as string
        return which % 2 === 0 ? orm.run(text) : orm.transaction(inside => inside.run(text))
      },
      stream: (text, rows) => orm.stream?.(text, rows) ?? sql.unsafe(text).cursor(rows),
    }
  }
