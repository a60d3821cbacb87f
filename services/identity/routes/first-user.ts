// The operator's route to a tenant's first user, for a tenant that was created by a bare event or without one.

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { parseTenantId } from '../../../plugins/distributed-tenant/index.js'
import { errors } from '../../http/schemas.js'
import { createCredentials } from '../credentials.js'
import type { Passwords } from '../passwords.js'
import { FirstUser } from '../schemas/credentials.js'
import { TenantParams } from '../schemas/tenant.js'
import { User } from '../schemas/user.js'
import { OPERATOR } from '../turns.js'

/** For a scope that has authenticated the request. */
export const firstUserRoutes: FastifyPluginAsyncTypebox<{ passwords: Passwords }> = async (app, { passwords }) => {
  app.post(
    '/:id/users',
    {
      config: { tenant: false, audit: 'admin' },
      schema: {
        tags: ['tenants'],
        security: [{ admin: [] }],
        summary: 'Make a user of a tenant who may do everything there',
        params: TenantParams,
        body: FirstUser,
        response: { 201: User, ...errors(400, 401, 403, 404, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const id = parseTenantId(request.params.id)
      const { email, password, displayName = email } = request.body
      const hash = await passwords.hash(password, { address: OPERATOR, tenant: id })
      const user = await app.tenants.run(id, ({ sql }) =>
        createCredentials(sql).create({ email, displayName, role: 'admin' }, hash),
      )
      return reply.code(201).send(user)
    },
  )
}
