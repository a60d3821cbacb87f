// The routes of /api/items. `request.sql` is a client of the tenant's own database, until the response is sent. What PostgreSQL
// refuses needs no code here: a name that is taken is 409 ALREADY_EXISTS.
import createError from '@fastify/error'
import type { FastifyPluginAsync } from 'fastify'

const ItemNotFound = createError('ITEM_NOT_FOUND', 'No such item: check the id.', 404)

interface Fields {
  name: string
  quantity: number
}

const body = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 100 },
    quantity: { type: 'integer', minimum: 0, maximum: 1_000_000, default: 0 },
  },
}
const params = { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: 2_147_483_647 } } }

interface OfOne {
  Params: { id: number }
}

export const items: FastifyPluginAsync = async app => {
  app.get('/', request => request.sql`select id, name, quantity from items order by id limit 100`)

  app.post<{ Body: Fields }>('/', { schema: { body } }, async (request, reply) => {
    const { name, quantity } = request.body
    const [item] = await request.sql`
      insert into items (name, quantity) values (${name}, ${quantity}) returning id, name, quantity`
    return reply.code(201).send(item)
  })

  app.get<OfOne>('/:id', { schema: { params } }, async request => {
    const [item] = await request.sql`select id, name, quantity from items where id = ${request.params.id}`
    if (!item) throw new ItemNotFound()
    return item
  })

  app.put<OfOne & { Body: Fields }>('/:id', { schema: { params, body } }, async request => {
    const { name, quantity } = request.body
    const [item] = await request.sql`
      update items set name = ${name}, quantity = ${quantity}
      where id = ${request.params.id} returning id, name, quantity`
    if (!item) throw new ItemNotFound()
    return item
  })

  app.delete<OfOne>('/:id', { schema: { params } }, async (request, reply) => {
    const { count } = await request.sql`delete from items where id = ${request.params.id}`
    if (count === 0) throw new ItemNotFound()
    return reply.code(204).send()
  })
}
