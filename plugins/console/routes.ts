// The console's own routes behind its page: the session, the stream, and the proxy to the services. Every one but the sign-in needs
// a session, every change its CSRF token. Roles are enforced by the service that a call reaches.
import { createError } from '@fastify/error'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { every } from '../../timing/timers.js'
import '../audit/index.js'
import '../limits/index.js'
import type { Operator } from '../operator/index.js'
import type { Frame, Live } from './live.js'
import { type Services, ServiceUnknown } from './services.js'
import { type Session, type Sessions, SignInRequired } from './session.js'
import type { SignOuts } from './sign-outs.js'

export const TooManyConsoles = createError(
  'TOO_MANY_STREAMS',
  'All %s event streams of consoles are taken in this process: close one; until then this page polls.',
  429,
)

export interface ConsoleRoutes {
  readonly services: Services
  readonly sessions: Sessions
  readonly signOuts: SignOuts
  readonly live: Live
  /** Undefined: it says nothing about this request, and the session stands. */
  readonly authorize: (request: FastifyRequest) => Promise<Operator | null | undefined>
  readonly identity: string
  readonly signInUrl: string | null
  readonly mostStreams: number
}

const SIGN_INS_A_MINUTE = 30
const BEHIND_BYTES = 1024 * 1024
/** Of the place that a browser names. */
const LONGEST_PLACE = 2_000
/** An event stream whose session is over ends within this time. */
const CHECK_MS = 15_000
/** An action on many tenants, and a plan that reads every database's size. */
const LONG = /^(fleet\/bulk|instances\/[^/]+\/drain)$/
const LONG_DEADLINE_MS = 300_000
const PATH = /^[A-Za-z0-9-]{1,100}(\/[A-Za-z0-9-]{1,100}){0,3}$/
const PAGES = /^[a-z-]{1,20}$/

interface Proxied {
  Params: { service: string; '*': string }
}

declare module 'fastify' {
  interface FastifyRequest {
    consoleSession: Session | null
  }
}

export function consoleRoutes(app: FastifyInstance, parts: ConsoleRoutes): void {
  const { services, sessions, signOuts, live, authorize, identity } = parts
  const config = { tenant: false } as const
  const options = { config, schema: { hide: true }, logLevel: 'warn' as const }
  app.decorateRequest('consoleSession', null)

  app.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))

  /** The session of a request as it stands now; null for one that is over. */
  const verified = async (request: FastifyRequest): Promise<Session | null> => {
    const session = sessions.read(request)
    if (!session) return null
    const ended = await signOuts.has(session)
    if (ended === true) return null
    const now = await authorize(request)
    if (now === null || (now && now.name !== session.name)) return null
    // A role that was lowered counts at once; a session that may have been signed out of may only read.
    return { ...session, role: ended === 'unknown' ? 'read' : (now?.role ?? session.role) }
  }

  const signedIn = async (request: FastifyRequest): Promise<void> => {
    const session = await verified(request)
    if (!session) throw new SignInRequired()
    request.consoleSession = session
    if (request.method === 'GET') return
    try {
      sessions.checkCsrf(session, request)
    } catch (error) {
      recordRefusal(request, (error as { code: string }).code, session.name)
      throw error
    }
  }
  const sessionOf = (request: FastifyRequest): Session => request.consoleSession as Session

  const record = (
    request: FastifyRequest,
    { name }: Operator,
    detail: object,
    tenantId: string | null = null,
  ): void => {
    if (!app.hasDecorator('audit')) return
    const common = { kind: 'admin', result: 'ok', actor: name, requestId: request.id } as const
    app.audit.record({ ...common, tenantId, detail: { ...detail, address: request.ip } })
  }

  /** Without an actor any client can cause it: the audit plugin counts those. */
  const recordRefusal = (request: FastifyRequest, code: string, actor: string | null): void => {
    if (!app.hasDecorator('audit')) return
    const detail = { console: 'refused', method: request.method, route: request.routeOptions.url, address: request.ip }
    app.audit.record({ kind: 'refused', result: code, actor, requestId: request.id, detail })
  }

  const shown = (session: Session) => ({
    name: session.name,
    role: session.role,
    until: new Date(session.until),
    csrf: sessions.csrfToken(session),
    services: services.names,
    identity,
  })

  app.get('/session', options, async (request, reply) => {
    const { signInUrl } = parts
    const known = await verified(request)
    if (known) return { session: shown(known), signInUrl }
    // The application's own login may have signed its user in already.
    const operator = await authorize(request)
    return { session: operator ? shown(signIn(operator, request, reply)) : null, signInUrl }
  })

  const limiter = app.hasDecorator('limit')
    ? app.limit({ name: 'console', max: SIGN_INS_A_MINUTE, windowMs: 60_000 })
    : null
  app.post('/session', options, async (request, reply) => {
    limiter?.(request, reply)
    const operator = await authorize(request)
    if (!operator) {
      const refusal = new SignInRequired()
      recordRefusal(request, refusal.code, null)
      throw refusal
    }
    return shown(signIn(operator, request, reply))
  })

  function signIn(operator: Operator, request: FastifyRequest, reply: FastifyReply): Session {
    record(request, operator, { console: 'signed in', role: operator.role })
    return sessions.open(operator, request, reply)
  }

  app.delete('/session', { ...options, onRequest: signedIn }, async (request, reply) => {
    record(request, sessionOf(request), { console: 'signed out' })
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
        const id = typeof tenant === 'string' && /^[a-z0-9-]{1,40}$/.test(tenant) ? tenant : null
        record(request, sessionOf(request), { console: 'viewed', page }, id)
      }
      return {}
    },
  )

  app.get('/overview', { ...options, onRequest: signedIn }, async () => live.overview())

  app.get('/tenants', { ...options, onRequest: signedIn }, async (request, reply) => {
    const query = request.raw.url?.split('?')[1] ?? ''
    const session = sessionOf(request)
    const answer = await services.call(identity, session, { path: `/fleet?${query}` })
    reply.code(answer.status).type('application/json')
    if (answer.status !== 200) return answer.text
    const page = JSON.parse(answer.text) as { items: { id: string }[] }
    return JSON.stringify({
      ...page,
      ...(await registriesOf(
        page.items.map(({ id }) => id),
        session,
      )),
    })
  })

  /** What each service's own registry has of these tenants; a service that does not answer is named. */
  async function registriesOf(ids: readonly string[], session: Session) {
    const registries: Record<string, unknown> = {}
    const unreachable: string[] = []
    if (ids.length > 0)
      await Promise.all(
        services.names.map(async name => {
          try {
            registries[name] = await services.read(name, session, `/tenants?ids=${ids.join(',')}`, 3_000)
          } catch {
            unreachable.push(name)
          }
        }),
      )
    return { registries, unreachable }
  }

  const proxied = { ...options, onRequest: signedIn }
  const proxy = async (request: FastifyRequest<Proxied>, reply: FastifyReply): Promise<string> => {
    const { service, '*': path } = request.params
    if (!PATH.test(path)) throw new ServiceUnknown()
    const query = request.raw.url?.split('?')[1]
    const { status, text } = await services.call(service, sessionOf(request), {
      method: request.method,
      path: `/${path}${query === undefined ? '' : `?${query}`}`,
      ...(request.method !== 'GET' && { body: request.body ?? {} }),
      ...(LONG.test(path) && { deadlineMs: LONG_DEADLINE_MS }),
    })
    reply.code(status).type('application/json')
    return text
  }
  app.get<Proxied>('/services/:service/*', proxied, proxy)
  app.post<Proxied>('/services/:service/*', proxied, proxy)

  /** Each stream with its request. */
  const open = new Map<FastifyReply, FastifyRequest>()

  app.get('/events', { ...options, sse: 'manual', onRequest: signedIn }, async (request, reply) => {
    if (open.size >= parts.mostStreams) {
      reply.header('retry-after', 10)
      throw new TooManyConsoles(parts.mostStreams)
    }
    const last = reply.sse.lastEventId
    if (reply.raw.destroyed) return
    open.set(reply, request)
    let leave = (): void => {}
    reply.raw.once('close', () => {
      open.delete(reply)
      leave()
    })
    reply.sse.sendHeaders()
    leave = live.join(frame => send(reply, frame), last !== null && isPlace(last) ? last : null)
    reply.sse.keepAlive()
  })

  // All at the same moment: one query looks for all of their sessions.
  const stopChecking = every(CHECK_MS, async () => {
    for (const [reply, request] of open)
      void verified(request).then(
        session => session ?? reply.sse.close(),
        // Not known is not refused: the next look decides.
        error => request.log.warn({ err: error }, 'the session of an event stream could not be checked'),
      )
  })

  app.addHook('preClose', async () => {
    stopChecking()
    live.close()
    services.close()
    signOuts.close()
    for (const reply of open.keys()) reply.sse.close()
  })
}

const isPlace = (text: string): boolean => text.length <= LONGEST_PLACE && /^\d[\d:,]*$/.test(text)

function send({ sse, raw }: FastifyReply, frame: Frame): void {
  if (!sse.isConnected) return
  // It comes back by its place.
  if (raw.writableLength > BEHIND_BYTES) raw.destroy()
  else raw.write(frame)
}
