// The mapping of published steps to audit rows. Invariant: the tenant is the one that the step names, which is the lease's,
// never one that an async context holds.
import type { FastifyRequest } from 'fastify'
import type { PublishedStep } from '../distributed-tenant/index.js'
import { type AuditRecord, shareDetail } from './rows.js'

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
  // Once, as every read of `routeOptions` makes a new object.
  const { url: route = null, config } = request.routeOptions
  // Of a route that needs no token: by its address, because every client can cause it.
  if (who === null && config.token === false) {
    const detail = { method: request.method, route, leases, address: request.ip }
    return { kind: 'access', result: 'ok', tenantId, requestId: request.id, detail, at: new Date() }
  }
  // Runs with every request: no copies, and only the fields of a row.
  return {
    kind: 'access',
    result: 'ok',
    tenantId,
    actor: who,
    requestId: request.id,
    detail: accessDetail(request.method, route, leases),
    at: new Date(),
  }
}

/** The details of accesses, which many rows have in common: by their fields. */
const accessDetails = new Map<string, NonNullable<AuditRecord['detail']>>()
const MOST_DETAILS = 1_000

function accessDetail(method: string, route: string | null, leases: number): NonNullable<AuditRecord['detail']> {
  const key = `${leases} ${method} ${route}`
  let detail = accessDetails.get(key)
  if (!detail) {
    if (accessDetails.size >= MOST_DETAILS) accessDetails.clear()
    detail = shareDetail({ method, route, leases })
    accessDetails.set(key, detail)
  }
  return detail
}

/** Whether any client can cause such a row without a token: those are aggregated. */
export function isAnonymous({ kind, actor, detail }: AuditRecord): boolean {
  if (kind === 'connection') return true
  if (actor !== null && actor !== undefined) return false
  return kind === 'refused' || (kind === 'access' && detail?.address !== undefined)
}

const routeOf = (request: FastifyRequest): string | null => request.routeOptions.url ?? null

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? 'UNKNOWN')
