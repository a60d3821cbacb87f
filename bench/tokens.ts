// The plugin with verified tokens, as the services register it in production: the token names the tenant, and the header's
// tenant is compared with it. `claim checked` leaves the naming to the header and only checks, as another application may.
import Fastify, { type FastifyInstance } from 'fastify'
import {
  distributedTenant,
  fromClaim,
  fromDomain,
  fromHeader,
  tenantClaim,
} from '../plugins/distributed-tenant/index.js'
import tokens from '../plugins/tokens/index.js'
import { type Arm, type ArmConfig, tenantHeader } from './arm.js'
import { audience, createIssuer, issuer } from './issuer.js'
import { answersOf, pluginOptions } from './ours.js'
import { addRoutes, type Client } from './routes.js'

async function build(config: ArmConfig, named: readonly ReturnType<typeof fromClaim>[]): Promise<Arm> {
  const app: FastifyInstance = Fastify()
  const { keys, token } = createIssuer()
  await app.register(tokens, { keys, issuer, audience, required: true })
  await app.register(distributedTenant, {
    ...pluginOptions(config),
    identifyBy: [fromHeader(tenantHeader), fromDomain(), ...named],
    authorizeTenant: tenantClaim(),
  })
  addRoutes(app, request => request.sql as Client)
  await app.ready()
  return { app, answers: { ...answersOf(app, config), token: tenant => token(String(tenant)) } }
}

export const make = (config: ArmConfig): Promise<Arm> => build(config, [fromClaim()])
export const makeChecked = (config: ArmConfig): Promise<Arm> => build(config, [])
