// What is made for `pg`, over the pool in its shape: Drizzle's `node-postgres`, Kysely's `PostgresDialect`, Knex.
import { drizzle } from 'drizzle-orm/node-postgres'
import knex, { type Knex } from 'knex'
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import { Pool } from '../../orms/pg/index.js'
import { textOf } from './drizzle.js'
import type { OrmOver, Runner } from './orm.js'

export const overDrizzleOnPg: OrmOver = sql => {
  const db = drizzle({ client: new Pool({ sql }) })
  const runnerOf = (on: Pick<typeof db, 'execute'>): Runner => ({
    run: async (text, parameters = []) => (await on.execute(textOf(text, parameters))).rows,
  })
  return { ...runnerOf(db), transaction: work => db.transaction(tx => work(runnerOf(tx))) }
}

export const overKyselyOnPg: OrmOver = sql => {
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: new Pool({ sql }) }) })
  const runnerOf = (on: Pick<typeof db, 'executeQuery'>): Runner => ({
    run: async (text, parameters = []) => (await on.executeQuery(CompiledQuery.raw(text, [...parameters]))).rows,
  })
  return { ...runnerOf(db), transaction: work => db.transaction().execute(tx => work(runnerOf(tx))) }
}

export const overKnex: OrmOver = sql => {
  const db = knex({ client: 'pg', connectionPool: new Pool({ sql }) })
  const runnerOf = (on: Pick<Knex, 'raw'>): Runner => ({
    run: async (text, parameters = []) => (await on.raw(text.replaceAll(/\$\d+/g, '?'), parameters as never)).rows,
  })
  return { ...runnerOf(db), transaction: work => db.transaction(tx => work(runnerOf(tx))) }
}
