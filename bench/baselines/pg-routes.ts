// The same two routes for arms whose client is `pg`. `query` runs one statement; `connect` lends a connection.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { PoolClient } from 'pg'
import { idOf } from '../routes.js'

export interface PgSource {
  /** Runs `work` with a connection of the tenant's database. */
  lend<T>(request: FastifyRequest, work: (client: Pick<PoolClient, 'query'>) => Promise<T>): Promise<T>
  /** One statement; a pool may do this cheaper than lending. */
  query(request: FastifyRequest, text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

export function addPgRoutes(app: FastifyInstance, source: PgSource): void {
  app.get('/read/:id', async request => {
    const { rows } = await source.query(request, 'select id, name, price, stock from items where id = $1', [
      idOf(request),
    ])
    return rows[0]
  })

  app.get('/transaction/:id', async request => {
    const id = idOf(request)
    const all = (text: string, value: unknown) => source.query(request, text, [value])
    const [item] = (await all('select id, category, name, price, stock from items where id = $1', id)).rows
    const others = await all('select id, name from items where category = $1 order by id limit 10', item?.category)
    const moved = await all('select id, amount from movements where item_id = $1 order by id desc limit 5', id)
    await source.lend(request, async client => {
      await client.query('begin')
      try {
        await client.query('update items set stock = stock - 1 where id = $1', [id])
        await client.query('insert into movements (item_id, amount) values ($1, 1)', [id])
        await client.query('commit')
      } catch (error) {
        await client.query('rollback')
        throw error
      }
    })
    return { ...item, others: others.rows.length, moved: moved.rows.length }
  })
}
