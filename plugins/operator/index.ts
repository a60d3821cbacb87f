// The operator API of a service, `/api/operator/...`: its state, its tenants' rows, dead events, runs, findings, instances and
// connections, for the console and for programs. Its tokens are its own, with roles: see access.ts.
// If a part is down: its numbers are null and the overview names it; without the central database lists are 503.
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { checkPluginOptions, interruptedRuns, operatorAccess } from '../distributed-tenant/index.js'
import { type OperatorTokens, operatorTokens, requireRole } from './access.js'
import { recordConnections } from './connection-history.js'
import type { EndedDrain, MakeDrains } from './drains.js'
import { createOverview } from './overview.js'
import { OPERATOR_PREFIX } from './prefix.js'
import { watchDrift } from './recent-drift.js'
import { operatorRoutes } from './routes.js'

export interface OperatorOptions {
  /** Like `administer:<token>,read:<token>`. Default OPERATOR_TOKEN. Without one every request is refused. */
  tokens?: string | OperatorTokens | undefined
  /** Carries drains of instances out in this process. Without it a drain is the command's. */
  drains?: MakeDrains | undefined
}

const checkGiven = checkPluginOptions<OperatorOptions>('operator', { tokens: 'other', drains: 'function' })

async function operatorPlugin(app: FastifyInstance, options: OperatorOptions): Promise<void> {
  checkGiven(options)
  const access = operatorAccess(app.tenants)
  const tokens = typeof options.tokens === 'object' ? options.tokens : operatorTokens(options.tokens)
  const history = recordConnections(app.tenants.connectionInfo, error =>
    app.log.error({ err: error }, 'connections could not be sampled'),
  )
  const drift = watchDrift(app.tenants.origin)
  app.addHook('onClose', async () => {
    history.close()
    drift.close()
  })
  const parts = {
    access,
    history,
    overview: createOverview({
      tenants: app.tenants,
      access,
      drift: drift.list,
      interruptedRuns: () => interruptedRuns(app.central),
    }),
    role: requireRole(tokens),
    drains: options.drains?.(access, (result, error) => reportDrain(app, result, error)) ?? null,
  }
  await app.register(async scope => operatorRoutes(scope, parts), { prefix: OPERATOR_PREFIX, tenant: false })
}

function reportDrain(app: FastifyInstance, result: EndedDrain | null, error: unknown): void {
  if (error) app.log.error({ err: error }, 'a drain ended with an error: resume it')
  else app.log[result?.notMoved ? 'warn' : 'info']({ ...result }, 'a drain has ended')
}

export const operator = fp<OperatorOptions>(operatorPlugin, {
  name: 'fastify-distributed-tenant-operator',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant'],
})
export default operator
export {
  allows,
  bearerToken,
  type Operator,
  OperatorForbidden,
  type OperatorRole,
  type OperatorTokens,
  OperatorUnauthenticated,
  operatorName,
  operatorOf,
  operatorTokens,
  requireRole,
  roles,
} from './access.js'
export { OPERATOR_PREFIX } from './prefix.js'
export { NotConfirmed, operatorRoute } from './route-options.js'
