// The route /api/tenants/changes: the feed that the other services read, for bearers of a service's token alone. It is
// authoritative over the events, and depends on nothing but this service's database.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { parseTenantId, TenantNotFound } from '../../../plugins/distributed-tenant/index.js'
import { requireService } from '../../http/admin.js'
import { errors } from '../../http/schemas.js'
import { createChanges } from '../changes.js'
import { Change, Changes, ChangesQuery } from '../schemas/change.js'
import { TenantParams } from '../schemas/tenant.js'

const tags = ['feed']
const security = [{ service: [] }]
const config = { tenant: false } as const
/** Every service reads it every few seconds; what fails is logged. */
const logLevel = 'warn'

export const changeRoutes: FastifyPluginAsyncTypebox<{ serviceTokens: readonly string[] }> = async (
  app,
  { serviceTokens },
) => {
  app.addHook('onRequest', requireService(serviceTokens))
  const changes = createChanges(app.central)

  app.get(
    '',
    {
      config,
      logLevel,
      schema: {
        tags,
        security,
        summary: 'Read the changes after a number',
        description:
          'Each tenant once, at its newest change, in the order of the changes. Deleted ones are kept. A page ends at `limit` rows or about 1 MB, and the last one where `next` is `head`.',
        querystring: ChangesQuery,
        response: { 200: Changes, ...errors(400, 401) },
      },
    },
    async request => changes.list(request.query.after ?? 0, request.query.limit ?? 500, request.query.service),
  )

  app.get(
    '/:id',
    {
      config,
      logLevel,
      schema: {
        tags,
        security,
        summary: 'Read one tenant as the feed has it',
        params: TenantParams,
        response: { 200: Change, ...errors(400, 401, 404) },
      },
    },
    async request => {
      const change = await changes.find(parseTenantId(request.params.id))
      if (!change) throw new TenantNotFound()
      return change
    },
  )
}
