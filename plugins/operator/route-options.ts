// The options that routes of the operator API share: role, audit row, schema.
import { createError } from '@fastify/error'
import type { FastifyRequest } from 'fastify'
import type { OperatorAccess } from '../distributed-tenant/index.js'
import { type OperatorRole, operatorOf, type requireRole } from './access.js'
import type { ConnectionHistory } from './connection-history.js'
import type { Drains } from './drains.js'
import type { Overview } from './overview.js'
import * as schemas from './schemas.js'

export const NotConfirmed = createError(
  'NOT_CONFIRMED',
  'This takes something away: send `confirm` with exactly `%s`.',
  422,
)

export interface OperatorParts {
  readonly access: OperatorAccess
  readonly overview: () => Promise<Overview>
  readonly history: ConnectionHistory
  readonly role: ReturnType<typeof requireRole>
  /** Null: a drain is the command's. */
  readonly drains: Drains | null
}

export const closed = { additionalProperties: false }
export const refusals = { 401: schemas.ErrorBody, 403: schemas.ErrorBody, 503: schemas.ErrorBody }
export const notFound = { 400: schemas.ErrorBody, 404: schemas.ErrorBody }

/** The options of a route of this API, for those that a service adds to it. `audited`: each call is a row. */
export function operatorRoute(role: OperatorRole, audited: boolean, require: OperatorParts['role']): OperatorRoute {
  const onRequest = require(role)
  if (audited) return { onRequest, config: { tenant: false, audit: 'admin' } }
  // Polled by consoles: the log is for findings.
  return { onRequest, config: { tenant: false }, logLevel: 'warn' }
}

export interface OperatorRoute {
  readonly onRequest: ReturnType<OperatorParts['role']>
  readonly config: { readonly tenant: false; readonly audit?: 'admin' }
  readonly logLevel?: 'warn'
}

export const described = (summary: string, body: object, more: object = {}) => ({
  tags: ['operator'],
  security: [{ operator: [] }],
  summary,
  response: { 200: body, ...refusals },
  ...more,
})

export const nameOf = (request: FastifyRequest): string => operatorOf(request)?.name ?? 'operator'
