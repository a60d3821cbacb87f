// What the console's page asks: the overview, the tenants with each service's own registry, and the proxy to the services' operator API.
// Every route but the sign-in needs a session, every change its CSRF token. Roles are enforced by the service that a call reaches.
// If a service does not answer: it is named, and the others are shown.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { eventRoute } from './event-route.js'
import type { Live } from './live.js'
import { type Services, ServiceUnknown } from './services.js'
import type { Session } from './session.js'
import { createSessionGate, type GateParts, sessionOf } from './session-gate.js'
import { sessionRoutes } from './session-routes.js'

export interface ConsoleRoutes extends GateParts {
  readonly services: Services
  readonly live: Live
  readonly identity: string
  readonly signInUrl: string | null
  readonly mostStreams: number
}

/** An action on many tenants, and a plan that reads every database's size. */
const LONG = /^(fleet\/bulk|instances\/[^/]+\/drain)$/
const LONG_DEADLINE_MS = 300_000
const PATH = /^[A-Za-z0-9-]{1,100}(\/[A-Za-z0-9-]{1,100}){0,3}$/

interface Proxied {
  Params: { service: string; '*': string }
}

export function consoleRoutes(app: FastifyInstance, parts: ConsoleRoutes): void {
  const { services, signOuts, live, identity } = parts
  const config = { tenant: false } as const
  const options = { config, schema: { hide: true }, logLevel: 'warn' as const }
  app.addHook('onRequest', async (_request, reply) => void reply.header('cache-control', 'no-store'))

  const gate = createSessionGate(app, parts)
  sessionRoutes(app, { ...parts, gate, options, services: services.names })
  const endStreams = eventRoute(app, { ...parts, gate, options })
  const behindSession = { ...options, onRequest: gate.signedIn }

  app.get('/overview', behindSession, async () => live.overview())

  app.get('/tenants', behindSession, async (request, reply) => {
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
  app.get<Proxied>('/services/:service/*', behindSession, proxy)
  app.post<Proxied>('/services/:service/*', behindSession, proxy)

  app.addHook('preClose', async () => {
    endStreams()
    services.close()
    signOuts.close()
  })
}
