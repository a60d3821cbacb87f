// How every rival learns its tenant: the header, checked against the tenants it knows, in memory.
import type { FastifyRequest } from 'fastify'
import { tenantHeader } from '../arm.js'

export function tenantOf(request: FastifyRequest, known: ReadonlySet<string>): string {
  const tenant = request.headers[tenantHeader]
  if (typeof tenant !== 'string' || !known.has(tenant)) {
    throw Object.assign(new Error('no such tenant'), { statusCode: 404 })
  }
  return tenant
}
