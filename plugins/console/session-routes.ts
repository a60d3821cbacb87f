// The routes of the operator's session: read, sign in, sign out, and which page was looked at, for the audit log. Signing in has a limit for each
// address where the limits plugin is there.
import type { FastifyInstance } from 'fastify'
import '../limits/index.js'
import { type Session, SignInRequired } from './session.js'
import { type GateParts, type SessionGate, sessionOf } from './session-gate.js'

export interface SessionRoutes extends GateParts {
  readonly gate: SessionGate
  readonly options: { readonly config: { readonly tenant: false } }
  /** The names of the services that the page may ask, and which of them is identity. */
  readonly services: readonly string[]
  readonly identity: string
  /** Of the application's own login; null: the page asks for a token. */
  readonly signInUrl: string | null
}

const SIGN_INS_A_MINUTE = 30
const PAGES = /^[a-z-]{1,20}$/
const TENANT = /^[a-z0-9-]{1,40}$/

export function sessionRoutes(app: FastifyInstance, parts: SessionRoutes): void {
  const { gate, options, sessions, signOuts, authorize, services, identity, signInUrl } = parts
  const { signedIn, verified } = gate

  app.get('/session', options, async (request, reply) => {
    const known = await verified(request)
    if (known) return { session: shown(known), signInUrl }
    // The application's own login may have signed its user in already.
    const operator = await authorize(request)
    return { session: operator ? shown(gate.signIn(operator, request, reply)) : null, signInUrl }
  })

  const limiter = app.hasDecorator('limit')
    ? app.limit({ name: 'console', max: SIGN_INS_A_MINUTE, windowMs: 60_000 })
    : null
  app.post('/session', options, async (request, reply) => {
    limiter?.(request, reply)
    const operator = await authorize(request)
    if (!operator) {
      const refusal = new SignInRequired()
      gate.recordRefusal(request, refusal.code, null)
      throw refusal
    }
    return shown(gate.signIn(operator, request, reply))
  })

  app.delete('/session', { ...options, onRequest: signedIn }, async (request, reply) => {
    gate.record(request, sessionOf(request), { console: 'signed out' })
    sessions.clear(reply)
    await signOuts.add(sessionOf(request))
    return { signedOut: true }
  })

  app.post<{ Body: { page?: unknown; tenant?: unknown } | null }>(
    '/viewed',
    { ...options, onRequest: signedIn },
    async request => {
      const { page, tenant } = request.body ?? {}
      if (typeof page === 'string' && PAGES.test(page)) {
        const id = typeof tenant === 'string' && TENANT.test(tenant) ? tenant : null
        gate.record(request, sessionOf(request), { console: 'viewed', page }, id)
      }
      return {}
    },
  )

  const shown = (session: Session) => ({
    name: session.name,
    role: session.role,
    until: new Date(session.until),
    csrf: sessions.csrfToken(session),
    services,
    identity,
  })
}
