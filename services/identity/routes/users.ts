// The routes of /api/users: HTTP in, HTTP out. Every user of the tenant may read, only its admins may change: a user who may
// set roles could become an admin.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { idParams, nothing, pageOf, tenantErrors } from '../../http/schemas.js'
import { createCredentials } from '../credentials.js'
import type { Passwords } from '../passwords.js'
import { NewUser, User, UserPatch, UserQuery } from '../schemas/user.js'
import { callerOf } from '../turns.js'
import { createUsers } from '../users.js'

const tags = ['users']
const config = { tenant: 'required' } as const
const admins = { tenant: 'required', roles: ['admin'] } as const

export const userRoutes: FastifyPluginAsyncTypebox<{ passwords: Passwords }> = async (app, { passwords }) => {
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
      config: admins,
      schema: {
        tags,
        summary: 'Add a user',
        body: NewUser,
        response: { 201: User, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const { password, ...fields } = request.body
      const user =
        password === undefined
          ? await createUsers(request.sql).create(fields)
          : await createCredentials(request.sql).create(fields, await passwords.hash(password, callerOf(request)))
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
      config: admins,
      schema: {
        tags,
        summary: 'Change the fields in the body',
        params: idParams,
        body: UserPatch,
        response: { 200: User, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async request => {
      const { params, body, sql } = request
      const { password, ...fields } = body
      if (password === undefined) return createUsers(sql).change(params.id, fields)
      const hash = await passwords.hash(password, callerOf(request))
      return sql.begin(async sql => {
        const users = createUsers(sql)
        const named = Object.keys(fields).length > 0
        const user = await (named ? users.change(params.id, fields) : users.read(params.id))
        await createCredentials(sql).set(user.id, hash)
        return user
      })
    },
  )

  app.delete(
    '/:id',
    {
      config: admins,
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
