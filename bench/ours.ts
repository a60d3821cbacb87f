// The arm under test: a plain Fastify service with the plugin as a user registers it, without events and Redis. Only the
// plugin's public surface is used.
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance } from 'fastify'
import { type DistributedTenantOptions, distributedTenant, subscribe } from '../plugins/distributed-tenant/index.js'
import type { Arm, ArmConfig } from './arm.js'
import { driverInstances, socketsTo } from './heap.js'
import { addRoutes, type Client } from './routes.js'

export const migrations = fileURLToPath(new URL('../../bench/migrations/tenant', import.meta.url))

export function pluginOptions({ login, service, budget, options }: ArmConfig): DistributedTenantOptions {
  return {
    service,
    database: { ...login, database: `${service}_central`, ssl: 'disable' },
    migrations: { tenant: migrations },
    maxConnections: budget,
    nats: null,
    redis: null,
    source: false,
    // Made beside what is measured, they would take part of it.
    spares: 0,
    ...options,
  }
}

export async function make(config: ArmConfig): Promise<Arm> {
  const app = Fastify()
  await app.register(distributedTenant, pluginOptions(config))
  addRoutes(app, request => request.sql as Client)
  app.get('/without', { config: { tenant: false } }, () => ({ ok: true }))
  app.get('/touch', request => ({ id: request.tenant.id, lazy: typeof request.sql }))
  await app.ready()
  return { app, answers: answersOf(app, config) }
}

export function answersOf(app: FastifyInstance, config: ArmConfig): NonNullable<Arm['answers']> {
  let opened = 0
  let silence: (() => void) | undefined
  return {
    connections: () => {
      const { tenants: _, ...counts } = app.tenants.connectionInfo()
      return counts
    },
    /** Begins to count opens; later calls return their number. Not always on: subscribing costs. */
    opens: () => {
      silence ??= subscribe(
        step => {
          if (step.area === 'connection' && step.pool === 'tenant' && step.event.type === 'opened') opened++
        },
        undefined,
        ['connection'],
      )
      return opened
    },
    deaf: () => {
      silence?.()
      silence = undefined
    },
    sockets: () => socketsTo(config.login.port),
    instances: driverInstances,
  }
}
