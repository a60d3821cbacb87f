// Rival of token verification: the same tenant plugin and routes, the token verified by `@fastify/jwt` with one key it was
// given. No key set, no check for a second header, and the tenant is not compared with the token. As it comes, and with the
// cache of verified tokens that it has as an option and the plugin always uses.
import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyInstance } from 'fastify'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import type { Arm, ArmConfig } from '../arm.js'
import { audience, createIssuer, issuer } from '../issuer.js'
import { pluginOptions } from '../ours.js'
import { addRoutes, type Client } from '../routes.js'

async function build(config: ArmConfig, cache: number | false): Promise<Arm> {
  const app: FastifyInstance = Fastify()
  const { pem, token } = createIssuer()
  await app.register(fastifyJwt, {
    secret: { public: pem },
    verify: { algorithms: ['EdDSA'], allowedIss: issuer, allowedAud: audience, cache },
  })
  app.addHook('onRequest', async request => {
    await request.jwtVerify()
  })
  await app.register(distributedTenant, { ...pluginOptions(config), trustedGateway: true })
  addRoutes(app, request => request.sql as Client)
  await app.ready()
  return { app, answers: { token: tenant => token(String(tenant)) } }
}

export const make = (config: ArmConfig): Promise<Arm> => build(config, false)
export const makeWithCache = (config: ArmConfig): Promise<Arm> => build(config, 10_000)
