// The routes of /api/tenants, the operator's side: creates tenants, changes them, shows the progress of each service. A route
// only stores and answers; provisioning follows by event, and a client may wait for it with `Prefer: wait`.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { parseTenantId, TenantNotFound } from '../../../plugins/distributed-tenant/index.js'
import { requireAdmin } from '../../http/admin.js'
import type { AdminTokens } from '../../http/admin-tokens.js'
import { anyText, DEFAULT_LIMIT, decodeCursor, encodeCursor } from '../../http/paging.js'
import { errors, pageOf } from '../../http/schemas.js'
import { whenGone } from '../../http/when-gone.js'
import type { FirstUsers } from '../first-users.js'
import type { Idempotency } from '../idempotency.js'
import { listTenants } from '../listing.js'
import type { Passwords } from '../passwords.js'
import { parsePrefer } from '../prefer.js'
import type { Presentation } from '../presentation.js'
import type { Readiness } from '../readiness.js'
import type { FirstUser } from '../schemas/credentials.js'
import { NewTenant, Tenant, TenantParams, TenantPatch, TenantQuery, TenantReadQuery } from '../schemas/tenant.js'
import { checkSettings } from '../settings.js'
import { OPERATOR } from '../turns.js'
import { firstUserRoutes } from './first-user.js'
import { lifecycleRoutes } from './lifecycle.js'

export interface TenantRouteOptions {
  adminTokens: AdminTokens
  present: Presentation
  readiness: Readiness
  idempotency: Idempotency
  firstUsers: FirstUsers
  passwords: Passwords
}

const tags = ['tenants']
const security = [{ admin: [] }]
const config = { tenant: false, audit: 'admin' } as const
const ACTOR = 'admin'

export const tenantRoutes: FastifyPluginAsyncTypebox<TenantRouteOptions> = async (app, options) => {
  const { adminTokens, present, readiness, idempotency, firstUsers, passwords } = options
  app.addHook('onRequest', requireAdmin(adminTokens))

  await app.register(lifecycleRoutes, { present, actor: ACTOR })
  await app.register(firstUserRoutes, { passwords })

  app.get(
    '',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'List tenants, by id',
        description: 'Deleted ones only with `lifecycle=deleted`. A page ends at about 1 MB, before its `limit`.',
        querystring: TenantQuery,
        response: { 200: pageOf(Tenant), ...errors(400, 401) },
      },
    },
    async request => {
      const { limit = DEFAULT_LIMIT, after, lifecycle } = request.query
      const [last] = decodeCursor(after, [anyText]) ?? []
      const { rows, more } = await listTenants(app.tenants, { limit, after: last, lifecycle })
      const end = more ? rows.at(-1) : undefined
      return { items: await present.many(rows), next: end ? encodeCursor([end.id]) : null }
    },
  )

  app.post(
    '',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Create a tenant in every service',
        description:
          '202 at once, with the URL of the tenant. With `Prefer: wait=<seconds>` (at most 60) 201 once every required service is ready, 202 if not by then. A repeat with the same `Idempotency-Key` (kept for two days) and body makes nothing new and is answered with the same tenant.',
        body: NewTenant,
        response: { 201: Tenant, 202: Tenant, ...errors(400, 401, 409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const { admin, ...tenant } = request.body
      checkSettings(tenant.settings)
      // Without the password: the stored body must not help to guess one.
      const once = idempotency.once(request.headers['idempotency-key'], { ...tenant, admin: admin?.email ?? null })
      const first = admin && (await firstUser(admin, passwords))
      const row = await app.tenants.create({ ...tenant, actor: ACTOR }, first ? firstUsers.within(first, once) : once)
      const { wait, applied } = parsePrefer(request.headers.prefer)
      const ready = wait > 0 && (await readiness.wait(row.id, wait * 1000, whenGone(reply)))
      if (ready && first) await firstUsers.make(row.id)
      if (applied) reply.header('preference-applied', applied)
      reply.code(ready ? 201 : 202).header('location', `/api/tenants/${row.id}`)
      return present.one((ready && (await app.tenants.find(row.id))) || row)
    },
  )

  app.get(
    '/:id',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Read a tenant and the progress of each service',
        description: 'A deleted one only with `lifecycle=deleted`.',
        params: TenantParams,
        querystring: TenantReadQuery,
        response: { 200: Tenant, ...errors(400, 401, 404) },
      },
    },
    async request => {
      const row = await app.tenants.find(parseTenantId(request.params.id))
      if (!row || (row.lifecycle === 'deleted' && request.query.lifecycle !== 'deleted')) throw new TenantNotFound()
      return present.one(row)
    },
  )

  app.patch(
    '/:id',
    {
      config,
      schema: {
        tags,
        security,
        summary: 'Change the fields in the body',
        params: TenantParams,
        body: TenantPatch,
        response: { 200: Tenant, ...errors(400, 401, 404, 409, 413, 415) },
      },
    },
    async request => {
      checkSettings(request.body.settings)
      return present.one(await app.tenants.update(parseTenantId(request.params.id), request.body, ACTOR))
    },
  )
}

/** The password goes no further than this. */
async function firstUser({ email, password, displayName = email }: FirstUser, passwords: Passwords) {
  return { email, displayName, passwordHash: await passwords.hash(password, { address: OPERATOR, tenant: null }) }
}
