// The plugin with everything that watches it, as the services register it: metrics on, tracing there but without an SDK.
// Its rival is `ours`: the same server with neither.
import Fastify, { type FastifyInstance } from 'fastify'
import { distributedTenant } from '../plugins/distributed-tenant/index.js'
import metrics from '../plugins/metrics/index.js'
import tracing from '../plugins/tracing/index.js'
import type { Arm, ArmConfig } from './arm.js'
import { answersOf, pluginOptions } from './ours.js'
import { addRoutes, type Client } from './routes.js'

export async function make(config: ArmConfig): Promise<Arm> {
  const app: FastifyInstance = Fastify()
  await app.register(tracing)
  await app.register(distributedTenant, pluginOptions(config))
  await app.register(metrics)
  addRoutes(app, request => request.sql as Client)
  await app.ready()
  return { app, answers: answersOf(app, config) }
}
