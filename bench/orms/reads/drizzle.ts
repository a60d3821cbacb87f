// Drizzle: made of `request.sql`, over `postgres` on its own.
import { eq } from 'drizzle-orm'
import { integer, numeric, pgTable, text } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import type { SqlClient } from '../../../plugins/distributed-tenant/index.js'
import type { Read, Reads } from './read.js'

const items = pgTable('items', {
  id: integer().primaryKey(),
  name: text().notNull(),
  price: numeric({ precision: 10, scale: 2 }).notNull(),
  stock: integer().notNull(),
})

const make = (client: SqlClient | postgres.Sql) => drizzle({ client, schema: { items } })

const readOf =
  (db: ReturnType<typeof make>): Read =>
  async id =>
    (await db.select().from(items).where(eq(items.id, id)))[0]

export const reads: Reads = {
  ofTenants: () => request => readOf(make(request.sql)),
  own: options => readOf(make(postgres({ ...options, onnotice() {} }))),
  make,
}
