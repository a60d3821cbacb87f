// The identity service: tenants are made here, the ledger has their progress, and the users of each tenant sign in here.

import type { FastifyInstance } from 'fastify'
import {
  createStepPublisher,
  parseServiceName,
  readEnvironment,
  secretPath,
} from '../../plugins/distributed-tenant/index.js'
import { OPERATOR_PREFIX } from '../../plugins/operator/index.js'
import { createService, type ServiceOptions } from '../create-service.js'
import { bearersOf } from '../http/admin.js'
import { type AdminTokens, createAdminTokens } from '../http/admin-tokens.js'
import { consoleOf } from './console.js'
import { createFirstUsers } from './first-users.js'
import { createFleetChanges } from './fleet-changes.js'
import { createIdempotency } from './idempotency.js'
import { applyStatus, createLedger } from './ledger.js'
import { type Cost, createPasswords } from './passwords.js'
import { createPresentation } from './presentation.js'
import { createReadiness } from './readiness.js'
import { changeRoutes } from './routes/changes.js'
import { eventRoutes } from './routes/events.js'
import { fleetRoutes } from './routes/fleet.js'
import { loginRoutes } from './routes/login.js'
import { tenantRoutes } from './routes/tenants.js'
import { userRoutes } from './routes/users.js'
import { createSigningKeys } from './signing-keys.js'
import { createWatch } from './watch.js'

export interface IdentityOptions extends ServiceOptions {
  /** Default: ADMIN_TOKEN. Without one the admin routes refuse every request. */
  adminToken?: string
  /** A file of tokens that is read again while the service runs. Default: ADMIN_TOKEN_FILE, unless `adminToken` is passed. */
  adminTokenFile?: string
  /** Milliseconds between reads of that file. Default 5,000. */
  adminTokenLook?: number
  /** Milliseconds between checks of the signing keys. Default a minute. */
  signingKeyLook?: number
  /** The bearers that may read the feed, all valid at once. Default: SERVICE_TOKEN. Without one the feed refuses every request. */
  serviceTokens?: readonly string[]
  /** The services a tenant needs before it is ready. Default: REQUIRED_SERVICES. */
  requiredServices?: readonly string[]
  /** The cost of hashing a password; for tests. */
  passwordCost?: Cost
}

/** The identity service, without listening. */
export function buildIdentity(options: IdentityOptions = {}): Promise<FastifyInstance> {
  const { environment = readEnvironment() } = options
  const adminToken = options.adminToken ?? environment.ADMIN_TOKEN
  const { adminTokenFile = options.adminToken === undefined ? secretPath('ADMIN_TOKEN') : undefined } = options
  const serviceTokens = options.serviceTokens ?? environment.SERVICE_TOKEN?.split(',') ?? []
  const passwords = createPasswords(options.passwordCost)
  const services = bearersOf(serviceTokens)
  let operators: AdminTokens | undefined
  const keys = createSigningKeys(options.signingKeyLook)
  const required = [...new Set(options.requiredServices ?? environment.REQUIRED_SERVICES.split(','))]

  return createService(
    {
      name: 'identity',
      description: 'Tenants for the operator, and the users of each tenant in a database of its own.',
      migrations: {
        central: new URL('./migrations/central/', import.meta.url),
        tenant: new URL('./migrations/tenant/', import.meta.url),
      },
      routes: async app => {
        if (!adminToken)
          app.log.warn('ADMIN_TOKEN is not set: /api/tenants answers 401 to every request; set one to use it')
        if (serviceTokens.length === 0)
          app.log.warn('SERVICE_TOKEN is not set: the other services cannot read the feed; set one for all of them')
        const adminTokens = createAdminTokens({
          tokens: adminToken,
          path: adminTokenFile,
          log: app.log,
          ...(options.adminTokenLook && { lookMs: options.adminTokenLook }),
        })
        operators = adminTokens
        const publish = createStepPublisher(parseServiceName('identity'), app.tenants.origin)
        const ledger = createLedger(app.central, required)
        const present = createPresentation(ledger)
        const readiness = createReadiness(ledger.ready, app.notifications, app.log)
        const firstUsers = createFirstUsers(app.central, app.tenants, app.notifications, app.log, (type, id) =>
          publish({ area: 'first_user', event: { type, id } }),
        )
        await keys.open(app.central, error => app.log.warn({ err: error }, 'the signing keys cannot be read'))
        const idempotency = createIdempotency(app.central, error =>
          app.log.warn({ err: error }, 'old idempotency keys could not be deleted; retrying later'),
        )
        const watch = createWatch({
          central: app.central,
          present,
          notifications: app.notifications,
          onError: error => app.log.warn({ err: error }, 'changes cannot be read for the event streams; retrying'),
        })
        const changes = createFleetChanges({ central: app.central, present, notifications: app.notifications })
        app.addHook('preClose', async () => {
          adminTokens.close()
          readiness.close()
          watch.close()
          changes.close()
          idempotency.close()
          firstUsers.close()
          keys.close()
        })
        await app.register(changeRoutes, { prefix: '/api/tenants/changes', serviceTokens })
        await app.register(eventRoutes, {
          prefix: '/api/tenants/events',
          adminTokens,
          watch,
          most: environment.EVENT_STREAMS,
          mostPerToken: environment.EVENT_STREAMS_PER_TOKEN,
        })
        await app.register(tenantRoutes, {
          prefix: '/api/tenants',
          adminTokens,
          present,
          readiness,
          idempotency,
          firstUsers,
          passwords,
        })
        const { OPERATOR_TOKEN: tokens } = environment
        if (!tokens)
          app.log.warn(
            'OPERATOR_TOKEN is not set: /api/operator answers 401, and there is no console; set one to use them',
          )
        await app.register(fleetRoutes, {
          ...{ prefix: OPERATOR_PREFIX, tokens, required },
          ...{ present, changes, readiness, idempotency },
        })
        await consoleOf(app, environment)
        await app.register(userRoutes, { prefix: '/api/users', passwords })
        const { TOKEN_ISSUER: issuer, TOKEN_AUDIENCE: audience } = environment
        const perMinute = environment.RATE_LIMIT_LOGINS_PER_ADDRESS
        await app.register(loginRoutes, { keys, passwords, issuer, audience, perMinute })
      },
      keys,
      // Read at each request: a token that was replaced reads no more.
      readers: { accepts: token => [operators?.accepts(token), services.accepts(token)].includes(true) },
    },
    { ...options, environment, tenancy: { onStatus: applyStatus, ...options.tenancy } },
  )
}
