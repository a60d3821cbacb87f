// The console: the fleet on one page, for operators. It serves its page and proxies to the operator API of every service, so that
// the browser talks to one origin. Register it in the identity service or in an application of your own, with `prefix`.
// Invariant: in production it refuses to start without `authorizeOperator`. If a service is down: the console says so, and shows
// the others.
import { createHmac, randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ConfigurationInvalid, checkPluginOptions, readEnvironment, requirePeer } from '../distributed-tenant/index.js'
import type { Operator } from '../operator/index.js'
import { createLive } from './live.js'
import { consoleRoutes } from './routes.js'
import { type Addresses, createServices } from './services.js'
import { createSessions } from './session.js'
import { createSignOuts } from './sign-outs.js'

const fastifyStatic = requirePeer<typeof import('@fastify/static')>('@fastify/static').default
const { fastifySSE } = requirePeer<typeof import('@fastify/sse')>('@fastify/sse')

export interface ConsoleOptions {
  /** Where each service is: its URL, or `here` for the application the console is registered in. */
  services: Addresses
  /** The bearer with which the operator API of each is called; never given to a browser. */
  token: string
  /**
   * Who a request's operator is; null for a visitor without rights. Asked at the sign-in and with every request of a session; `undefined` there
   * means that this request says nothing new. {@link operatorsByToken} is one. Required in production; without one, visitors
   * may read.
   */
  authorizeOperator?: AuthorizeOperator
  /** Where the application's own login is. Without it the page asks for a name and a token. */
  signInUrl?: string
  /** Signs sessions: the same for all replicas. Default: made from `token`. */
  secret?: string
  /** Hours after which an operator signs in again. Default 8. */
  sessionHours?: number
  /** The service that makes tenants. Default `identity`. */
  identity?: string
  /** Open event streams in this process; one more page polls. Default 100. */
  streams?: number
  /** Default: whether NODE_ENV is `production`. */
  production?: boolean
}

export type AuthorizeOperator = (
  request: FastifyRequest,
) => Operator | null | undefined | Promise<Operator | null | undefined>

const HOUR_MS = 3_600_000
const STREAMS = 100
const HEARTBEAT_MS = 15_000

/** No inline script or style, nothing from elsewhere, in no frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const visitors: AuthorizeOperator = () => ({ name: 'visitor', role: 'read' })

const checkGiven = checkPluginOptions<ConsoleOptions>(
  'console',
  {
    services: 'other',
    token: 'string',
    authorizeOperator: 'function',
    signInUrl: 'string',
    secret: 'string',
    sessionHours: 'number',
    identity: 'string',
    streams: 'number',
    production: 'boolean',
  },
  { scope: true },
)

/** Not wrapped by `fastify-plugin`: its hooks and routes are its own. */
export async function console(app: FastifyInstance, options: ConsoleOptions): Promise<void> {
  checkGiven(options)
  const { services: addresses, token, identity = 'identity', sessionHours = 8, streams = STREAMS } = options
  const { production = readEnvironment().NODE_ENV === 'production', authorizeOperator = visitors } = options
  if (production && !options.authorizeOperator) {
    throw new ConfigurationInvalid(
      'The console needs `authorizeOperator` in production: pass `operatorsByToken(OPERATOR_TOKEN)` or your own login.',
    )
  }
  if (!Object.hasOwn(addresses, identity))
    throw new ConfigurationInvalid(`The console needs to know where ${identity} is: name it in \`services\`.`)
  const secret = options.secret ?? (token ? sessionSecret(token) : randomBytes(32).toString('hex'))
  const path = app.prefix === '' ? '/' : app.prefix
  const services = createServices(app, addresses, token)
  const sessions = createSessions({ secret, path, lifetimeMs: sessionHours * HOUR_MS })
  const live = createLive(services, identity)

  app.addHook('onSend', async (_request, reply) => {
    reply.headers({
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    })
  })
  await app.register(
    async scope => {
      if (!scope.hasReplyDecorator('sse')) await scope.register(fastifySSE, { heartbeatInterval: HEARTBEAT_MS })
      consoleRoutes(scope, {
        services,
        sessions,
        signOuts: createSignOuts(app),
        live,
        identity,
        authorize: async request => authorizeOperator(request),
        signInUrl: options.signInUrl ?? null,
        mostStreams: streams,
      })
    },
    { prefix: '/api', tenant: false },
  )
  await app.register(
    async scope => {
      if (app.prefix !== '')
        scope.get(
          '',
          { prefixTrailingSlash: 'no-slash', schema: { hide: true }, config: { tenant: false } },
          (_, reply) => reply.redirect(`${app.prefix}/`),
        )
      await scope.register(fastifyStatic, {
        root: fileURLToPath(new URL('./public', import.meta.url)),
        preCompressed: true,
        decorateReply: false,
        schemaHide: true,
      })
    },
    { tenant: false },
  )
}
export default console

/** Not the token itself: a session shows what its secret signs. */
const sessionSecret = (token: string): string => createHmac('sha256', token).update('console session').digest('hex')

export { operatorsByToken } from './operators-by-token.js'
export type { Addresses } from './services.js'
export type { Operator }
