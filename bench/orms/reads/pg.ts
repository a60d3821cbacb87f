// The pool in the shape of `pg`: made of `request.sql`, against `pg` itself.
import pg from 'pg'
import { Pool } from '../../../orms/pg/index.js'
import type { SqlClient } from '../../../plugins/distributed-tenant/index.js'
import type { Read, Reads } from './read.js'

const make = (sql: SqlClient) => new Pool({ sql })

const readOf =
  (pool: pg.Pool): Read =>
  async id =>
    (await pool.query('select id, name, price, stock from items where id = $1', [id])).rows[0]

export const reads: Reads = {
  ofTenants: () => request => readOf(make(request.sql)),
  own: options => readOf(new pg.Pool(options)),
  make,
}
