// Kysely: made of `request.sql`, over `pg` on its own.
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { TenantDialect } from '../../../orms/kysely/index.js'
import type { SqlClient } from '../../../plugins/distributed-tenant/index.js'
import type { Read, Reads } from './read.js'

interface Database {
  items: { id: number; name: string; price: string; stock: number }
}

const make = (sql: SqlClient) => new Kysely<Database>({ dialect: new TenantDialect({ sql }) })

const readOf =
  (db: Kysely<Database>): Read =>
  id =>
    db.selectFrom('items').select(['id', 'name', 'price', 'stock']).where('id', '=', id).executeTakeFirst()

export const reads: Reads = {
  ofTenants: () => request => readOf(make(request.sql)),
  own: options => readOf(new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool(options) }) })),
  make,
}
