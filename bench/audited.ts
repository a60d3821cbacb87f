// The plugin with the audit log as the services register it: every access is a row. Its rival is `ours`.
import Fastify, { type FastifyInstance } from 'fastify'
import audit from '../plugins/audit/index.js'
import { distributedTenant } from '../plugins/distributed-tenant/index.js'
import type { Arm, ArmConfig } from './arm.js'
import { answersOf, pluginOptions } from './ours.js'
import { addRoutes, type Client } from './routes.js'

export async function make(config: ArmConfig): Promise<Arm> {
  const app: FastifyInstance = Fastify()
  await app.register(distributedTenant, pluginOptions(config))
  await app.register(audit)
  addRoutes(app, request => request.sql as Client)
  await app.ready()
  return { app, answers: { ...answersOf(app, config), audit: () => app.audit.status() } }
}
