// The sign-in by a token of OPERATOR_TOKEN: the page sends it once, as a bearer, with the operator's name. It is kept nowhere; the
// session is what remains.
import type { FastifyRequest } from 'fastify'
import { bearerToken, type Operator, operatorName, operatorTokens } from '../operator/index.js'

/** @param tokens as OPERATOR_TOKEN has them, like `administer:<token>,read:<token>` */
export function operatorsByToken(tokens: string): (request: FastifyRequest) => Operator | null | undefined {
  const known = operatorTokens(tokens)
  return request => {
    const given = bearerToken(request)
    // The session says it.
    if (given === undefined) return undefined
    const role = known.roleOf(given)
    const { name } = (request.body ?? {}) as { name?: unknown }
    const plain = typeof name === 'string' ? operatorName(name) : null
    return role !== null && plain !== null ? { name: plain, role } : null
  }
}
