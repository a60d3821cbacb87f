// Kysely over the client of a tenant.
import { CompiledQuery, Kysely } from 'kysely'
import { TenantDialect } from '../../orms/kysely/index.js'
import type { OrmOver, Runner } from './orm.js'

const runnerOf = (db: Pick<Kysely<unknown>, 'executeQuery'>): Runner => ({
  run: async (text, parameters = []) => (await db.executeQuery(CompiledQuery.raw(text, [...parameters]))).rows,
})

export const overKysely: OrmOver = sql => {
  const db = new Kysely<unknown>({ dialect: new TenantDialect({ sql }) })
  return {
    ...runnerOf(db),
    transaction: work => db.transaction().execute(tx => work(runnerOf(tx))),
    async *stream(text, rows) {
      for await (const batch of db.getExecutor().stream(CompiledQuery.raw(text), rows)) yield batch.rows
    },
  }
}
