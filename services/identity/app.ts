// Owns what the identity service is: where tenants are made, the ledger of how far they are, and each tenant's users,
// who sign in here.
import type { FastifyInstance } from 'fastify'
import { readEnvironment } from '../../plugins/distributed-tenant/environment.js'
import { createService, type ServiceOptions } from '../create-service.js'
import { createFirstUsers } from './first-users.js'
import { applyStatus, createLedger } from './ledger.js'
import { type Cost, createPasswords } from './passwords.js'
import { createPresentation } from './presentation.js'
import { createReadiness } from './readiness.js'
import { loginRoutes } from './routes/login.js'
import { tenantRoutes } from './routes/tenants.js'
import { userRoutes } from './routes/users.js'
import { createSigningKeys } from './signing-keys.js'

export interface IdentityOptions extends ServiceOptions {
  /** Default: ADMIN_TOKEN. Without one the admin routes let nobody pass. */
  adminToken?: string
  /** The services a tenant needs before it is ready. Default: REQUIRED_SERVICES. */
  requiredServices?: readonly string[]
  /** What hashing a password costs; for tests. */
  passwordCost?: Cost
}

/** The identity service, without listening. */
export function buildIdentity(options: IdentityOptions = {}): Promise<FastifyInstance> {
  const { environment = readEnvironment() } = options
  const adminToken = options.adminToken ?? environment.ADMIN_TOKEN
  const passwords = createPasswords(options.passwordCost)
  const keys = createSigningKeys()
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
          app.log.warn('ADMIN_TOKEN is not set: /api/tenants answers 401 to everybody; set one to use it')
        const ledger = createLedger(app.central, required)
        const present = createPresentation(ledger)
        const readiness = createReadiness(ledger.ready, app.notifications, app.log)
        const firstUsers = createFirstUsers(app.central, app.tenants, app.notifications, app.log)
        await keys.open(app.central, error => app.log.warn({ err: error }, 'the signing keys cannot be looked at'))
        app.addHook('preClose', async () => {
          readiness.close()
          firstUsers.close()
          keys.close()
        })
        await app.register(tenantRoutes, {
          prefix: '/api/tenants',
          adminToken,
          present,
          readiness,
          firstUsers,
          passwords,
        })
        await app.register(userRoutes, { prefix: '/api/users', passwords })
        const { TOKEN_ISSUER: issuer, TOKEN_AUDIENCE: audience } = environment
        await app.register(loginRoutes, { keys, passwords, issuer, audience })
      },
      keys,
    },
    { ...options, environment, tenancy: { onStatus: applyStatus, ...options.tenancy } },
  )
}
