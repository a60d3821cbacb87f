// The operator's routes of a tenant's lifecycle: suspend, activate, delete, restore, and retry. The change is stored here and
// reaches every service by event and by the feed; the databases are not touched.
import { createError } from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { parseTenantId, TenantNotFound } from '../../../plugins/distributed-tenant/index.js'
import { errors, nothing } from '../../http/schemas.js'
import type { Presentation } from '../presentation.js'
import { Tenant, TenantParams, TenantRestoration } from '../schemas/tenant.js'

export const TenantPurged = createError(
  'TENANT_PURGED',
  'Databases of this deleted tenant were dropped: bring it back from an archive with `distributed-tenant restore`.',
  409,
)

const tags = ['tenants']
const security = [{ admin: [] }]
const config = { tenant: false, audit: 'admin' } as const

/** For a scope that has authenticated the request; `actor` is its caller. */
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
    '/:id/restore',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Take the deletion of a tenant back',
        description:
          'Under a new version; the services read it from the feed within seconds. Refused once a service has dropped its database, unless `databases` says that they were put back: `distributed-tenant restore` does that and calls this.',
        params: TenantParams,
        body: TenantRestoration,
        response: { 200: Tenant, ...errors(400, 401, 404, 409, 413, 415) },
      },
    },
    async request => {
      const id = parseTenantId(request.params.id)
      const { lifecycle = 'active', domain, databases } = request.body
      const row = await app.tenants.find(id)
      if (row?.lifecycle !== 'deleted') throw new TenantNotFound()
      const { services } = await present.one(row)
      const dropped = Object.values(services).some(({ status }) => status === 'removed')
      if (dropped && databases !== 'restored') throw new TenantPurged()
      return present.one(await app.tenants.restore(id, { lifecycle, ...(domain === null && { domain }) }, actor))
    },
  )

  app.post(
    '/:id/retry',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Make every service that is not ready retry at once',
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
