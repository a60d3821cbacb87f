// The mapping of published steps to audit rows. Invariant: the tenant is the one that the step names, which is the lease's,
// never one that an async context holds.
import type { FastifyRequest } from 'fastify'
import type { PublishedStep } from '../distributed-tenant/index.js'
import type { AuditRecord } from './rows.js'

export interface Hearing {
  /** Share of accesses that become rows. */
  readonly sample: number
  readonly actor: (request: FastifyRequest) => string | null
}

/** The row of a step, null for one that needs none. */
export function recordOf(published: PublishedStep, { sample, actor }: Hearing): AuditRecord | null {
  if (published.area === 'connection') {
    if (published.pool !== 'tenant' || published.event.type !== 'open_failed') return null
    return { kind: 'connection', result: codeOf(published.event.error), detail: { database: published.event.key } }
  }
  if (published.area !== 'access') return null
  const { event } = published
  if (event.type === 'refused') {
    const { request, tenant, holds } = event
    // A user of one tenant tried to reach another.
    const across = holds !== null && holds !== tenant && { holds }
    return {
      kind: 'refused',
      result: codeOf(event.error),
      tenantId: tenant,
      actor: actor(request),
      requestId: request.id,
      detail: { method: request.method, route: routeOf(request), address: request.ip, ...across },
    }
  }
  if (sample < 1 && Math.random() >= sample) return null
  const { tenant: tenantId, leases } = event
  if (event.type === 'ran') return { kind: 'access', result: 'ok', tenantId, detail: { leases } }
  const { request } = event
  const who = actor(request)
  // Of a route that needs no token: by its address, as any client can cause it.
  if (who === null && request.routeOptions.config.token === false) {
    const detail = { method: request.method, route: routeOf(request), leases, address: request.ip }
    return { kind: 'access', result: 'ok', tenantId, requestId: request.id, detail, at: new Date() }
  }
  // Runs with every request: no copies, and only the fields of a row.
  return {
    kind: 'access',
    result: 'ok',
    tenantId,
    actor: who,
    requestId: request.id,
    detail: { method: request.method, route: routeOf(request), leases },
    at: new Date(),
  }
}

/** Whether any client can cause such a row without a token: those are aggregated. */
export function isAnonymous({ kind, actor, detail }: AuditRecord): boolean {
  if (kind === 'connection') return true
  if (actor !== null && actor !== undefined) return false
  return kind === 'refused' || (kind === 'access' && detail?.address !== undefined)
}

const routeOf = (request: FastifyRequest): string | null => request.routeOptions.url ?? null

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? 'UNKNOWN')
