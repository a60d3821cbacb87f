// Whose request it is: the session of each request as it stands now, and the audit rows of sign-ins and refusals. Invariants: a
// session that was signed out of, or whose operator is refused by now, is none; a change needs the CSRF token; every refusal of a
// named operator is an audit row.
// If the store of sign-outs does not answer: a session may read and no more.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import '../audit/index.js'
import type { Operator } from '../operator/index.js'
import { type Session, type Sessions, SignInRequired } from './session.js'
import type { SignOuts } from './sign-outs.js'

declare module 'fastify' {
  interface FastifyRequest {
    consoleSession: Session | null
  }
}

export interface GateParts {
  readonly sessions: Sessions
  readonly signOuts: SignOuts
  /** Undefined: it says nothing about this request, and the session stands. */
  readonly authorize: (request: FastifyRequest) => Promise<Operator | null | undefined>
}

export interface SessionGate {
  /** Null for a session that is over. */
  verified(request: FastifyRequest): Promise<Session | null>
  /** A hook. @throws UNAUTHENTICATED, CSRF_TOKEN_INVALID */
  signedIn(request: FastifyRequest): Promise<void>
  signIn(operator: Operator, request: FastifyRequest, reply: FastifyReply): Session
  record(request: FastifyRequest, operator: Pick<Operator, 'name'>, detail: object, tenantId?: string | null): void
  /** Without an actor any client can cause it: the audit plugin counts those. */
  recordRefusal(request: FastifyRequest, code: string, actor: string | null): void
}

/** Of a request behind `signedIn`. */
export const sessionOf = (request: FastifyRequest): Session => request.consoleSession as Session

export function createSessionGate(app: FastifyInstance, { sessions, signOuts, authorize }: GateParts): SessionGate {
  app.decorateRequest('consoleSession', null)

  const gate: SessionGate = {
    async verified(request) {
      const session = sessions.read(request)
      if (!session) return null
      const ended = await signOuts.has(session)
      if (ended === true) return null
      const now = await authorize(request)
      if (now === null || (now && now.name !== session.name)) return null
      // A role that was lowered counts at once.
      return { ...session, role: ended === 'unknown' ? 'read' : (now?.role ?? session.role) }
    },
    async signedIn(request) {
      const session = await gate.verified(request)
      if (!session) throw new SignInRequired()
      request.consoleSession = session
      if (request.method === 'GET') return
      try {
        sessions.checkCsrf(session, request)
      } catch (error) {
        gate.recordRefusal(request, (error as { code: string }).code, session.name)
        throw error
      }
    },
    signIn(operator, request, reply) {
      gate.record(request, operator, { console: 'signed in', role: operator.role })
      return sessions.open(operator, request, reply)
    },
    record(request, { name }, detail, tenantId = null) {
      if (!app.hasDecorator('audit')) return
      const common = { kind: 'admin', result: 'ok', actor: name, requestId: request.id } as const
      app.audit.record({ ...common, tenantId, detail: { ...detail, address: request.ip } })
    },
    recordRefusal(request, code, actor) {
      if (!app.hasDecorator('audit')) return
      const { method, ip: address, routeOptions } = request
      const detail = { console: 'refused', method, route: routeOptions.url, address }
      app.audit.record({ kind: 'refused', result: code, actor, requestId: request.id, detail })
    },
  }
  return gate
}
