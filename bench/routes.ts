// The two routes of every arm whose client speaks like `postgres`: one read by key, and three reads with a transaction of
// two statements. The arm has chosen the database.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type postgres from 'postgres'

/** What `postgres` and the plugin's client have in common here. */
export interface Client extends postgres.ISql {
  begin(fn: (sql: postgres.ISql) => Promise<unknown>): Promise<unknown>
}

export function addRoutes(app: FastifyInstance, clientOf: (request: FastifyRequest) => Client): void {
  app.get('/read/:id', async request => {
    const [item] = await clientOf(request)`select id, name, price, stock from items where id = ${idOf(request)}`
    return item
  })

  app.get('/transaction/:id', async request => {
    const sql = clientOf(request)
    const id = idOf(request)
    const [item] = await sql`select id, category, name, price, stock from items where id = ${id}`
    const category = (item as { category: number }).category
    const others = await sql`select id, name from items where category = ${category} order by id limit 10`
    const moved = await sql`select id, amount from movements where item_id = ${id} order by id desc limit 5`
    await sql.begin(async sql => {
      await sql`update items set stock = stock - 1 where id = ${id}`
      await sql`insert into movements (item_id, amount) values (${id}, 1)`
    })
    return { ...item, others: others.length, moved: moved.length }
  })
}

export const idOf = (request: FastifyRequest): number => Number((request.params as { id: string }).id)
