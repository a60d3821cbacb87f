// Owns /api/users: HTTP in, HTTP out. Who signs in comes later: there are no passwords here.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { idParams, nothing, pageOf, tenantErrors } from '../../http/schemas.js'
import { NewUser, User, UserPatch, UserQuery } from '../schemas/user.js'
import { createUsers } from '../users.js'

const tags = ['users']
const config = { tenant: 'required' } as const

export const userRoutes: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'List users, by e-mail address',
        querystring: UserQuery,
        response: { 200: pageOf(User), ...tenantErrors() },
      },
    },
    async request => createUsers(request.sql).list(request.query),
  )

  app.post(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'Add a user',
        body: NewUser,
        response: { 201: User, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const user = await createUsers(request.sql).create(request.body)
      return reply.code(201).header('location', `/api/users/${user.id}`).send(user)
    },
  )

  app.get(
    '/:id',
    {
      config,
      schema: { tags, summary: 'Read a user', params: idParams, response: { 200: User, ...tenantErrors() } },
    },
    async request => createUsers(request.sql).read(request.params.id),
  )

  app.patch(
    '/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Change what the body names',
        params: idParams,
        body: UserPatch,
        response: { 200: User, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async request => createUsers(request.sql).change(request.params.id, request.body),
  )

  app.delete(
    '/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a user',
        params: idParams,
        response: { 204: nothing, ...tenantErrors() },
      },
    },
    async (request, reply) => {
      await createUsers(request.sql).remove(request.params.id)
      return reply.code(204).send(null)
    },
  )
}
