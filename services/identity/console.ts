// The console at `/console`, where OPERATOR_TOKEN is set: operators sign in with one of its tokens. The other services are those
// of CONSOLE_SERVICES.
import { createHmac } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import console, { operatorsByToken } from '../../plugins/console/index.js'
import type { Environment } from '../../plugins/distributed-tenant/index.js'
import { operatorTokens } from '../../plugins/operator/index.js'

export const CONSOLE_PREFIX = '/console'

export async function consoleOf(app: FastifyInstance, environment: Environment): Promise<void> {
  const { OPERATOR_TOKEN: tokens, CONSOLE_SERVICES = '', NODE_ENV } = environment
  const { strongest } = operatorTokens(tokens)
  if (!tokens || strongest === null) return
  const others = CONSOLE_SERVICES.split(',').filter(Boolean)
  await app.register(console, {
    prefix: CONSOLE_PREFIX,
    services: {
      identity: 'here',
      ...Object.fromEntries(others.map(one => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)])),
    },
    token: strongest,
    // Of all of them: a session ends when any of the tokens is replaced.
    secret: createHmac('sha256', tokens).update('console session').digest('hex'),
    authorizeOperator: operatorsByToken(tokens),
    production: NODE_ENV === 'production',
  })
}
