// The five routes of a resource of a tenant: list, add, read, change and delete, made of its schemas and its repository. The types
// of requests are those of the schemas, which Fastify checks.
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { type IdParams, idParams, nothing, type Page, pageOf, tenantErrors } from './schemas.js'

/** The rules and the storage. Each function throws coded errors, such as the 404 of an unknown id. */
export interface Repository<Item, New, Patch, Query> {
  list(query: Query): Promise<Page<Item>>
  create(fields: New): Promise<Item>
  read(id: string): Promise<Item>
  change(id: string, fields: Patch): Promise<Item>
  remove(id: string): Promise<unknown>
}

export interface Resource<Item extends TSchema, New extends TSchema, Patch extends TSchema, Query extends TSchema> {
  /** In the path below `/api/`, and the tag in OpenAPI. */
  readonly name: string
  /** With its article: "a department". */
  readonly one: string
  /** "departments, by name" */
  readonly listed: string
  readonly schemas: { readonly item: Item; readonly created: New; readonly patch: Patch; readonly query: Query }
  /** Of one request: over its `sql`. */
  readonly repository: (request: FastifyRequest) => Repository<Static<Item>, Static<New>, Static<Patch>, Static<Query>>
  /** The roles that may change and delete, and add unless `adds` is `all`. */
  readonly writers: readonly string[]
  readonly adds?: 'all'
  /** More for OpenAPI. */
  readonly changing?: string
  readonly deleting?: string
  /** Deleting may be refused with 409. */
  readonly mayBeInUse?: boolean
}

export function crudRoutes<Item extends TSchema, New extends TSchema, Patch extends TSchema, Query extends TSchema>(
  resource: Resource<Item, New, Patch, Query>,
): FastifyPluginAsync {
  const { name, one, listed, schemas, repository, changing, deleting } = resource
  const tags = [name]
  const readers = { tenant: 'required' } as const
  const writers = { tenant: 'required', roles: [...resource.writers] } as const
  const written = tenantErrors(409, 413, 415, 422)
  const idOf = (request: FastifyRequest): string => (request.params as IdParams).id

  return async app => {
    app.get(
      '',
      {
        config: readers,
        schema: {
          tags,
          summary: `List ${listed}`,
          querystring: schemas.query,
          response: { 200: pageOf(schemas.item), ...tenantErrors() },
        },
      },
      async request => repository(request).list(request.query as Static<Query>),
    )
    app.post(
      '',
      {
        config: resource.adds === 'all' ? readers : writers,
        schema: { tags, summary: `Add ${one}`, body: schemas.created, response: { 201: schemas.item, ...written } },
      },
      async (request, reply) => {
        const item = await repository(request).create(request.body as Static<New>)
        return reply
          .code(201)
          .header('location', `/api/${name}/${(item as { id: string }).id}`)
          .send(item)
      },
    )
    app.get(
      '/:id',
      {
        config: readers,
        schema: { tags, summary: `Read ${one}`, params: idParams, response: { 200: schemas.item, ...tenantErrors() } },
      },
      async request => repository(request).read(idOf(request)),
    )
    app.patch(
      '/:id',
      {
        config: writers,
        schema: {
          tags,
          summary: 'Change the fields in the body',
          ...(changing && { description: changing }),
          params: idParams,
          body: schemas.patch,
          response: { 200: schemas.item, ...written },
        },
      },
      async request => repository(request).change(idOf(request), request.body as Static<Patch>),
    )
    app.delete(
      '/:id',
      {
        config: writers,
        schema: {
          tags,
          summary: `Delete ${one}`,
          ...(deleting && { description: deleting }),
          params: idParams,
          response: { 204: nothing, ...(resource.mayBeInUse ? tenantErrors(409) : tenantErrors()) },
        },
      },
      async (request, reply) => {
        await repository(request).remove(idOf(request))
        return reply.code(204).send(null)
      },
    )
  }
}
