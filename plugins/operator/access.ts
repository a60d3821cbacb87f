// Authorization of the operator API: bearer tokens of OPERATOR_TOKEN, each with a role. Invariants: a token's role is the most a
// request may do, and its header `operator-role` can only lower it; compared over digests, in constant time; without a
// configured token every request is refused.
import { createHash, timingSafeEqual } from 'node:crypto'
import { createError } from '@fastify/error'
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'

export const OperatorUnauthenticated = createError(
  'UNAUTHENTICATED',
  'This route is for operators: send `Authorization: Bearer <token>` with one of OPERATOR_TOKEN.',
  401,
)

export const OperatorForbidden = createError(
  'OPERATOR_FORBIDDEN',
  'This needs the role `%s`, and this operator has `%s`: ask an operator who has it, or use another token.',
  403,
)

/** From the least to the most: `read`, `act` (repeatable and harmless changes), `administer` (everything). */
export const roles = ['read', 'act', 'administer'] as const
export type OperatorRole = (typeof roles)[number]

export interface Operator {
  /** For audit rows: a person's name. */
  readonly name: string
  readonly role: OperatorRole
}

export const allows = (role: OperatorRole, needed: OperatorRole): boolean =>
  roles.indexOf(role) >= roles.indexOf(needed)

export interface OperatorTokens {
  /** The role of a token, null for an unknown one. In constant time. */
  roleOf(token: string): OperatorRole | null
  /** A token of the highest role, for calls of other services. */
  readonly strongest: string | null
}

const digest = (value: string) => createHash('sha256').update(value).digest()

/** @param text like `administer:<token>,read:<token>`, as OPERATOR_TOKEN has it */
export function operatorTokens(text: string | undefined): OperatorTokens {
  const known = (text ?? '')
    .split(',')
    .filter(Boolean)
    .map(entry => {
      const at = entry.indexOf(':')
      const token = entry.slice(at + 1)
      return { role: entry.slice(0, at) as OperatorRole, token, digest: digest(token) }
    })
  const strongest = roles.toReversed().flatMap(role => known.filter(one => one.role === role))[0]
  return {
    strongest: strongest?.token ?? null,
    roleOf(token) {
      const seen = digest(token)
      // All of them, so that the matching one cannot be measured.
      const fitting = known.map(one => (timingSafeEqual(seen, one.digest) ? one.role : null))
      return roles.toReversed().find(role => fitting.includes(role)) ?? null
    },
  }
}

const operators = new WeakMap<FastifyRequest, Operator>()

/** The operator of a request that {@link requireRole} has accepted; null for any other. */
export const operatorOf = (request: FastifyRequest): Operator | null => operators.get(request) ?? null

export const bearerToken = ({ headers }: FastifyRequest): string | undefined =>
  /^Bearer +([^\s]+) *$/i.exec(headers.authorization ?? '')?.[1]

const NAME = /^[^\p{Cc}\p{Cs}\u2028\u2029]{1,100}$/u

/** The name as an audit row may have it; null for one that may not stand there. */
export function operatorName(text: string): string | null {
  const name = text.trim()
  return NAME.test(name) ? name : null
}

/** Percent-encoded, as a header holds no other letters. */
function nameIn(header: string | string[] | undefined): string | null {
  try {
    return typeof header === 'string' ? operatorName(decodeURIComponent(header)) : null
  } catch {
    return null
  }
}

/** An unknown role counts as the least. */
function lowered(role: OperatorRole, header: string | string[] | undefined): OperatorRole {
  if (header === undefined) return role
  const wanted = roles.find(one => one === header) ?? 'read'
  return allows(role, wanted) ? wanted : role
}

/**
 * A maker of `onRequest` hooks that let operators with a role pass.
 * @throws UNAUTHENTICATED with WWW-Authenticate, OPERATOR_FORBIDDEN
 */
export function requireRole(tokens: OperatorTokens): (needed: OperatorRole) => onRequestAsyncHookHandler {
  return needed => async (request, reply) => {
    const given = bearerToken(request)
    const role = given === undefined ? null : tokens.roleOf(given)
    if (role === null) {
      reply.header('www-authenticate', given === undefined ? 'Bearer' : 'Bearer error="invalid_token"')
      throw new OperatorUnauthenticated()
    }
    const operator = {
      name: nameIn(request.headers['operator-name']) ?? 'operator',
      role: lowered(role, request.headers['operator-role']),
    }
    operators.set(request, operator)
    if (!allows(operator.role, needed)) throw new OperatorForbidden(needed, operator.role)
  }
}
