// Drizzle over the client of a tenant, in the version that is current and in the release candidate of the next.
import { type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { drizzle as drizzleRc } from 'drizzle-orm-rc/postgres-js'
import type { OrmOver, Runner } from './orm.js'

/** Both versions know their own by marks that they share. */
interface Db {
  execute(query: SQL): Promise<Iterable<unknown>>
  transaction<T>(work: (tx: Db) => Promise<T>): Promise<T>
}

/** A text with `$1` and so on, as Drizzle's own `sql`. */
export function textOf(text: string, parameters: readonly unknown[]): SQL {
  const [before = '', ...pieces] = text.split(/\$\d+/)
  const query = sql.empty().append(sql.raw(before))
  for (const [at, piece] of pieces.entries()) query.append(sql`${parameters[at]}`).append(sql.raw(piece))
  return query
}

const runnerOf = (db: Db): Runner => ({
  run: async (text, parameters = []) => [...(await db.execute(textOf(text, parameters)))],
})

const ormOf = (db: Db) => ({
  ...runnerOf(db),
  transaction: <T>(work: (inner: Runner) => Promise<T>) => db.transaction(tx => work(runnerOf(tx))),
})

export const overDrizzle: OrmOver = sql => ormOf(drizzle({ client: sql }) as unknown as Db)
export const overDrizzleRc: OrmOver = sql => ormOf(drizzleRc({ client: sql }) as unknown as Db)
