// Owns the operator's word on whether a tenant is served: suspended, active again, deleted. It is written down here and
// reaches every service by event and by the feed; the databases are not touched. And the word to try again.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { parseTenantId } from '../../../plugins/distributed-tenant/databases/names.js'
import { errors, nothing } from '../../http/schemas.js'
import type { Presentation } from '../presentation.js'
import { Tenant, TenantParams } from '../schemas/tenant.js'

const tags = ['tenants']
const security = [{ admin: [] }]
const config = { tenant: false, audit: 'admin' } as const

/** For a scope that has checked who is asking; `actor` is who. */
export const lifecycleRoutes: FastifyPluginAsyncTypebox<{ present: Presentation; actor: string }> = async (
  app,
  { present, actor },
) => {
  for (const change of ['suspend', 'activate'] as const) {
    app.post(
      `/:id/${change}`,
      {
        config,
        schema: {
          tags,
          security,
          summary: change === 'suspend' ? 'Refuse a tenant’s requests for now' : 'Serve a suspended tenant again',
          params: TenantParams,
          response: { 200: Tenant, ...errors(400, 401, 404) },
        },
      },
      async request => present.one(await app.tenants[change](parseTenantId(request.params.id), actor)),
    )
  }

  app.post(
    '/:id/retry',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Let every service that is not ready try again at once',
        description: 'Raises the version without a change; services that are ready do nothing.',
        params: TenantParams,
        response: { 202: Tenant, ...errors(400, 401, 404) },
      },
    },
    async (request, reply) =>
      reply.code(202).send(await present.one(await app.tenants.retry(parseTenantId(request.params.id), actor))),
  )

  app.delete(
    '/:id',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Delete a tenant',
        description:
          'Every service refuses it from now on. Its databases are kept until `purgeAfter` and then dropped; its id is never used again.',
        params: TenantParams,
        response: { 204: nothing, ...errors(400, 401, 404) },
      },
    },
    async (request, reply) => {
      await app.tenants.remove(parseTenantId(request.params.id), actor)
      return reply.code(204).send(null)
    },
  )
}
