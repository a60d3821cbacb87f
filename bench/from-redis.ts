// The plugin's own way of a request without its memory: every request asks Redis, where a service asks
// once in five seconds for each tenant. Everything else is built as the plugin builds it.
import Fastify from 'fastify'
import { createDirectory } from '../plugins/distributed-tenant/directory/directory.js'
import type { Memory } from '../plugins/distributed-tenant/directory/memory-cache.js'
import { createRemote } from '../plugins/distributed-tenant/directory/redis-cache.js'
import { connectRedis } from '../plugins/distributed-tenant/directory/redis-client.js'
import { fromDomain, fromHeader } from '../plugins/distributed-tenant/index.js'
import { addRequestHooks } from '../plugins/distributed-tenant/request/hooks.js'
import type { Arm, ArmConfig } from './arm.js'
import { makeParts } from './parts.js'
import { addRoutes, type Client } from './routes.js'

const forgetful: Memory = {
  get: () => undefined,
  put() {},
  drop() {},
  expire() {},
  stale: () => null,
  clear() {},
}

export async function make(config: ArmConfig): Promise<Arm> {
  const app = Fastify()
  const { tenancy, clientFor } = makeParts(app, config)
  const { settings, pools, notifications, publish } = tenancy
  const redis = connectRedis(String(config.options?.redis), 'bench')
  // One of the cases kills it; lookups then miss.
  redis.on('error', () => {})
  const found: Record<string, number> = {}
  const directory = createDirectory({
    central: pools.central.sql,
    remote: createRemote({
      redis,
      service: settings.service,
      keys: settings.roleKeys,
      ttlMs: settings.cacheTtl,
      report() {},
    }),
    notifications,
    memory: forgetful,
    cacheTtl: settings.cacheTtl,
    report(event) {
      if (event.type === 'lookup') found[event.source] = (found[event.source] ?? 0) + 1
    },
    announced: () => false,
  })
  await tenancy.prepare()
  app.addHook('onClose', async () => {
    directory.close()
    redis.disconnect()
  })
  const identifiers = [fromHeader(settings.header), fromDomain()]
  addRequestHooks(app, { settings, directory, identifiers, oldestSchema: tenancy.oldestSchema, clientFor, publish })
  addRoutes(app, request => request.sql as Client)
  await app.ready()
  return {
    app,
    answers: {
      /** Lookups so far, by where they were answered. */
      found: () => found,
    },
  }
}
