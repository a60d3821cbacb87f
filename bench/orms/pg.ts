// `pg`'s pool over the client of a tenant.
import type pg from 'pg'
import Cursor from 'pg-cursor'
import { Pool } from '../../orms/pg/index.js'
import type { OrmOver, Runner } from './orm.js'

const runnerOf = (on: Pick<pg.Pool, 'query'>): Runner => ({
  run: async (text, parameters = []) => (await on.query(text, [...parameters])).rows,
})

export const overPg: OrmOver = sql => {
  const pool = new Pool({ sql })
  return {
    ...runnerOf(pool),
    async transaction(work) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        const result = await work(runnerOf(client))
        await client.query('commit')
        return result
      } catch (error) {
        await client.query('rollback').catch(() => {})
        throw error
      } finally {
        client.release()
      }
    },
    async *stream(text, rows) {
      const client = await pool.connect()
      try {
        const cursor = client.query(new Cursor(text))
        for (let batch = await cursor.read(rows); batch.length > 0; batch = await cursor.read(rows)) yield batch
      } finally {
        client.release()
      }
    },
  }
}
