// The routes of the operator API that every service has. Reading a list costs what its page needs and writes no audit row, as it is
// polled; opening one tenant or one event, and every change, is a row with the operator's name.
import { createError } from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { Type } from '../../events/json-schema.js'
import { parseTenantId, TenantNotFound } from '../distributed-tenant/index.js'
import { type Operator, operatorOf } from './access.js'
import { drainRoutes } from './drain-routes.js'
import { fleetFindings } from './findings.js'
import { readInstances } from './instances.js'
import {
  closed,
  described,
  NotConfirmed,
  notFound,
  type OperatorParts,
  operatorRoute,
  refusals,
} from './route-options.js'
import { runRoutes } from './run-routes.js'
import * as schemas from './schemas.js'
import { registryPage, registryRows, tenantDetail } from './tenant-detail.js'

export const DeadEventNotFound = createError(
  'DEAD_EVENT_NOT_FOUND',
  'There is no open dead event of this number: it was resolved, or is another service’s. List them again.',
  404,
)

const id = Type.Object({ id: Type.String({ maxLength: 1000 }) }, closed)
const confirmation = Type.Object(
  { confirm: Type.Optional(Type.String({ maxLength: 100, description: 'The event’s number, typed once more.' })) },
  closed,
)
const HOLDERS = 100
const DEAD_PAGE = 100
const ROWS_PAGE = 200

export function operatorRoutes(app: FastifyInstance, parts: OperatorParts): void {
  const { access, overview, history, role, drains } = parts
  runRoutes(app, parts)
  if (drains) drainRoutes(app, role, drains)
  const reading = operatorRoute('read', false, role)
  const opening = operatorRoute('read', true, role)
  const acting = operatorRoute('act', true, role)
  const administering = operatorRoute('administer', true, role)

  app.get(
    '/access',
    {
      ...reading,
      schema: described('Which service this is, and what the operator of this token may do', schemas.AccessBody),
    },
    async request => {
      const { name, role } = operatorOf(request) as Operator
      return { service: access.service, schemaVersion: access.schemaVersion, name, role }
    },
  )

  app.get('/overview', { ...reading, schema: described('The state of this service', schemas.OverviewBody) }, overview)

  app.get<{ Querystring: { ids?: string; after?: string; limit?: number } }>(
    '/tenants',
    {
      ...reading,
      schema: described(
        'Rows of this service’s registry: those of some ids, or a page of all by id',
        schemas.RowsBody,
        {
          querystring: Type.Object(
            {
              ids: Type.Optional(Type.String({ minLength: 1, maxLength: 9_000 })),
              after: Type.Optional(Type.String({ maxLength: 100, description: 'The `next` of the page before.' })),
              limit: Type.Optional(Type.Integer({ minimum: 1, maximum: ROWS_PAGE })),
            },
            closed,
          ),
        },
      ),
    },
    async request => {
      const { ids, after, limit = ROWS_PAGE } = request.query
      const { schemaVersion } = access
      if (ids === undefined) return { schemaVersion, ...(await registryPage(app.tenants, { after, limit })) }
      const items = await registryRows(app.tenants, ids.split(',').slice(0, 200).map(parseTenantId))
      return { schemaVersion, items, next: null }
    },
  )

  app.get<{ Params: { id: string } }>(
    '/tenants/:id',
    { ...opening, schema: described('A tenant in this service', schemas.TenantBody, { params: id }) },
    async request => tenantDetail(request.params.id, { tenants: app.tenants, access, central: app.central }),
  )

  app.get(
    '/connections',
    { ...reading, schema: described('Tenant connections now and over the last ten minutes', schemas.ConnectionsBody) },
    async () => {
      const { tenants, ...now } = app.tenants.connectionInfo()
      const holders = Object.entries(tenants)
        .filter(([, one]) => one.open > 0 || one.waiting > 0)
        .sort(([, a], [, b]) => b.waiting - a.waiting || b.open - a.open)
        .slice(0, HOLDERS)
        .map(([database, one]) => ({ database, ...one }))
      return { service: access.service, now, holders, samples: history.samples() }
    },
  )

  app.get<{ Querystring: { after?: string; resolved?: boolean } }>(
    '/dead',
    {
      ...reading,
      schema: described('Events that were set aside, the oldest first', schemas.DeadBody, {
        querystring: Type.Object(
          {
            after: Type.Optional(Type.String({ maxLength: 18, pattern: '^\\d{1,18}$' })),
            resolved: Type.Optional(Type.Boolean()),
          },
          closed,
        ),
      }),
    },
    async request => {
      const items = await access.deadLetters.list({ ...request.query, limit: DEAD_PAGE })
      return { items, next: items.length === DEAD_PAGE ? (items.at(-1)?.id ?? null) : null }
    },
  )

  app.get<{ Params: { id: string } }>(
    '/dead/:id',
    { ...opening, schema: described('One of them, with its body', schemas.DeadOne, { params: id }) },
    async request => {
      const found = await access.deadLetters.show(request.params.id)
      if (!found) throw new DeadEventNotFound()
      const { data, ...event } = found
      return { ...event, body: data.toString('utf8') }
    },
  )

  app.post<{ Params: { id: string } }>(
    '/dead/:id/replay',
    {
      ...acting,
      schema: described('Handle it again as if it had just come', schemas.ReplayBody, {
        params: id,
        response: { 200: schemas.ReplayBody, ...refusals, ...notFound },
      }),
    },
    async request => {
      const outcome = await access.deadLetters.replay(request.params.id)
      if (!outcome) throw new DeadEventNotFound()
      return outcome
    },
  )

  app.post<{ Params: { id: string }; Body: { confirm?: string } }>(
    '/dead/:id/drop',
    {
      ...administering,
      schema: described('Mark it as not needed', schemas.ReplayBody, {
        params: id,
        body: confirmation,
        response: { 200: schemas.ReplayBody, ...refusals, ...notFound, 422: schemas.ErrorBody },
      }),
    },
    async request => {
      const { id } = request.params
      if (request.body.confirm !== id) throw new NotConfirmed(id)
      if (!(await access.deadLetters.drop(id))) throw new DeadEventNotFound()
      return { ok: true }
    },
  )

  app.get(
    '/findings',
    { ...reading, schema: described('What is wrong with tenants’ databases and roles', schemas.FindingsBody) },
    async () => fleetFindings(access),
  )

  app.post<{ Params: { id: string } }>(
    '/tenants/:id/repair',
    {
      ...acting,
      schema: described(
        'Give a tenant its rights, role and verifier again; its data is not touched',
        schemas.RepairBody,
        {
          params: id,
          response: { 200: schemas.RepairBody, ...refusals, ...notFound },
        },
      ),
    },
    async request => {
      const tenant = parseTenantId(request.params.id)
      if (!(await app.tenants.find(tenant))) throw new TenantNotFound()
      await access.repair(tenant)
      return { tenant, repaired: true }
    },
  )

  app.get(
    '/instances',
    { ...reading, schema: described('How full each PostgreSQL instance is', schemas.InstancesBody) },
    async () => ({ items: await readInstances(access, app.central, drains !== null) }),
  )
}
