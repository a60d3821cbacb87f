// One action on every tenant that a filter fits. Invariant: it carries the number of tenants that was shown, and what the operator
// typed where it is destructive. One tenant whose action fails stops no other.
import { createError } from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { TenantId } from '../../../plugins/distributed-tenant/index.js'
import {
  allows,
  NotConfirmed,
  OperatorForbidden,
  operatorOf,
  operatorRoute,
  type requireRole,
} from '../../../plugins/operator/index.js'
import { errors } from '../../http/schemas.js'
import type { Fleet, FleetFilter } from '../fleet.js'
import * as schemas from '../schemas/fleet.js'

export const CountChanged = createError(
  'COUNT_CHANGED',
  'The filter fits %s tenants by now and not %s: look at the list again, then repeat it.',
  409,
)
export const TooManyTenants = createError(
  'TOO_MANY_TENANTS',
  'The filter fits more than %s tenants, as many as one action may change: narrow it, and repeat it for the rest.',
  422,
)

export interface FleetBulkOptions {
  role: ReturnType<typeof requireRole>
  fleet: Fleet
}

const BULK_MOST = 1_000
const BULK_AT_ONCE = 4

export const fleetBulkRoutes: FastifyPluginAsyncTypebox<FleetBulkOptions> = async (app, { role, fleet }) => {
  app.post(
    '/fleet/bulk',
    {
      ...operatorRoute('act', true, role),
      schema: {
        tags: ['operator'],
        security: [{ operator: [] }],
        summary: 'Do the same with every tenant that a filter fits',
        body: schemas.Bulk,
        response: { 200: schemas.BulkOutcome, ...errors(400, 401, 403, 409, 415, 422) },
      },
    },
    async request => {
      const { action, filter, count, confirm } = request.body
      const { role: own = 'read', name = 'operator' } = operatorOf(request) ?? {}
      if (action === 'remove') {
        if (!allows(own, 'administer')) throw new OperatorForbidden('administer', own)
        if (confirm !== `remove ${count}`) throw new NotConfirmed(`remove ${count}`)
      }
      const ids = await counted(filter, count)
      return inTurns(ids, async id => {
        await app.tenants[action](id, name)
      })
    },
  )

  /** @throws TOO_MANY_TENANTS, COUNT_CHANGED */
  async function counted(filter: FleetFilter, count: number): Promise<TenantId[]> {
    const ids = await fleet.ids(filter, BULK_MOST + 1)
    if (ids.length > BULK_MOST) throw new TooManyTenants(BULK_MOST)
    if (ids.length !== count) throw new CountChanged(ids.length, count)
    return ids
  }
}

interface Outcome {
  done: number
  failed: { id: string; code: string; message: string }[]
}

/** One that fails stops no other. */
async function inTurns(ids: readonly TenantId[], work: (id: TenantId) => Promise<void>): Promise<Outcome> {
  const outcome: Outcome = { done: 0, failed: [] }
  const left = [...ids]
  const worker = async (): Promise<void> => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      try {
        await work(id)
        outcome.done++
      } catch (error) {
        const { code = 'INTERNAL_ERROR', message, statusCode } = error as Error & { code?: string; statusCode?: number }
        // The text of a foreign error may hold data.
        outcome.failed.push({ id, code, message: statusCode === undefined ? 'See the log of identity.' : message })
      }
    }
  }
  await Promise.all(Array.from({ length: BULK_AT_ONCE }, worker))
  return outcome
}
