// Identity's part of the operator API: the list of all tenants, its changes, and the actions on one tenant; those on a filter are in
// fleet-bulk.ts. Invariant: a destructive action carries what the operator typed.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { parseTenantId, type TenantId, TenantNotFound } from '../../../plugins/distributed-tenant/index.js'
import {
  NotConfirmed,
  operatorOf,
  operatorRoute,
  operatorTokens,
  requireRole,
} from '../../../plugins/operator/index.js'
import { errors, nothing } from '../../http/schemas.js'
import { whenGone } from '../../http/when-gone.js'
import { createFleet } from '../fleet.js'
import type { FleetChangeReader } from '../fleet-changes.js'
import type { Idempotency } from '../idempotency.js'
import { parsePrefer } from '../prefer.js'
import type { Presentation } from '../presentation.js'
import type { Readiness } from '../readiness.js'
import * as schemas from '../schemas/fleet.js'
import { NewTenant, Tenant, TenantParams, TenantRestoration } from '../schemas/tenant.js'
import { checkSettings } from '../settings.js'
import { fleetBulkRoutes } from './fleet-bulk.js'
import { TenantPurged } from './lifecycle.js'

export interface FleetRouteOptions {
  tokens: string | undefined
  required: readonly string[]
  present: Presentation
  changes: FleetChangeReader
  readiness: Readiness
  idempotency: Idempotency
}

const PAGE = 50

const tags = ['operator']
const security = [{ operator: [] }]
const nameOf = (request: FastifyRequest): string => operatorOf(request)?.name ?? 'operator'

export const fleetRoutes: FastifyPluginAsyncTypebox<FleetRouteOptions> = async (app, options) => {
  const { present, changes, required, readiness, idempotency } = options
  const role = requireRole(operatorTokens(options.tokens))
  const fleet = createFleet(app.central, present, required)
  const reading = operatorRoute('read', false, role)
  const acting = operatorRoute('act', true, role)
  const administering = operatorRoute('administer', true, role)

  app.get(
    '/fleet',
    {
      ...reading,
      schema: {
        tags,
        security,
        summary: 'List tenants by search, filter and order',
        querystring: schemas.FleetQuery,
        response: { 200: schemas.FleetPage, ...errors(400, 401, 403) },
      },
    },
    async request => {
      const { sort = 'id', order = 'asc', offset = 0, limit = PAGE, ...filter } = request.query
      return fleet.page({ ...filter, sort, descending: order === 'desc', offset, limit })
    },
  )

  app.get(
    '/fleet/counts',
    {
      ...reading,
      schema: {
        tags,
        security,
        summary: 'Count tenants by status',
        response: { 200: schemas.FleetCounts, ...errors(401, 403) },
      },
    },
    async () => ({ ...(await fleet.counts()), services: [...required] }),
  )

  app.get(
    '/fleet/changes',
    {
      ...reading,
      schema: {
        tags,
        security,
        summary: 'Wait for changes of tenants since a place',
        querystring: schemas.ChangesQuery,
        response: { 200: schemas.Changes, ...errors(400, 401, 403) },
      },
    },
    async request => {
      const { after = null, wait = 0 } = request.query
      const { items, ...rest } = await changes.since(after, wait * 1000)
      return { ...rest, items: [...items] }
    },
  )

  app.get(
    '/fleet/:id',
    {
      ...operatorRoute('read', false, role),
      schema: {
        tags,
        security,
        summary: 'Read a tenant with its ledger, a deleted one too',
        params: TenantParams,
        response: { 200: Tenant, ...errors(400, 401, 403, 404) },
      },
    },
    async request => present.one(await found(parseTenantId(request.params.id))),
  )

  app.post(
    '/fleet',
    {
      ...acting,
      schema: {
        tags,
        security,
        summary: 'Create a tenant in every service',
        description:
          '202 at once. With `Prefer: wait=<seconds>` (at most 60) 201 once every required service is ready. A repeat with the same `Idempotency-Key` and body makes nothing new.',
        body: NewTenant,
        response: { 201: Tenant, 202: Tenant, ...errors(400, 401, 403, 409, 413, 415) },
      },
    },
    async (request, reply) => {
      const { admin: _, ...tenant } = request.body
      checkSettings(tenant.settings)
      const once = idempotency.once(request.headers['idempotency-key'], { ...tenant, admin: null })
      const row = await app.tenants.create({ ...tenant, actor: nameOf(request) }, once)
      const { wait, applied } = parsePrefer(request.headers.prefer)
      const ready = wait > 0 && (await readiness.wait(row.id, wait * 1000, whenGone(reply)))
      if (applied) reply.header('preference-applied', applied)
      reply.code(ready ? 201 : 202)
      return present.one((ready && (await app.tenants.find(row.id))) || row)
    },
  )

  for (const change of ['suspend', 'activate', 'retry'] as const) {
    app.post(
      `/fleet/:id/${change}`,
      {
        ...acting,
        schema: {
          tags,
          security,
          summary: {
            suspend: 'Refuse a tenant’s requests for now',
            activate: 'Serve a suspended tenant again',
            retry: 'Make every service that is not ready retry at once',
          }[change],
          params: TenantParams,
          response: { 200: Tenant, ...errors(400, 401, 403, 404) },
        },
      },
      async request => present.one(await app.tenants[change](parseTenantId(request.params.id), nameOf(request))),
    )
  }

  app.post(
    '/fleet/:id/remove',
    {
      ...administering,
      schema: {
        tags,
        security,
        summary: 'Delete a tenant; its databases are kept for the retention time',
        params: TenantParams,
        body: schemas.Confirmation,
        response: { 204: nothing, ...errors(400, 401, 403, 404, 415, 422) },
      },
    },
    async (request, reply) => {
      const id = parseTenantId(request.params.id)
      if (request.body.confirm !== id) throw new NotConfirmed(id)
      await app.tenants.remove(id, nameOf(request))
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/fleet/:id/restore',
    {
      ...administering,
      schema: {
        tags,
        security,
        summary: 'Take the deletion of a tenant back',
        params: TenantParams,
        body: TenantRestoration,
        response: { 200: Tenant, ...errors(400, 401, 403, 404, 409, 415) },
      },
    },
    async request => {
      const id = parseTenantId(request.params.id)
      const { lifecycle = 'active', domain } = request.body
      const { services } = await present.one(await found(id))
      if (Object.values(services).some(({ status }) => status === 'removed')) throw new TenantPurged()
      const how = { lifecycle, ...(domain === null && { domain }) }
      return present.one(await app.tenants.restore(id, how, nameOf(request)))
    },
  )

  await app.register(fleetBulkRoutes, { role, fleet })

  /** A deleted tenant too. @throws TENANT_NOT_FOUND */
  async function found(id: TenantId) {
    const row = await app.tenants.find(id)
    if (!row) throw new TenantNotFound()
    return row
  }
}
