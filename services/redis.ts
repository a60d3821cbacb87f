// The service's Redis client. Redis is an accelerator: down or frozen it costs a command its own short deadline and
// the start at most half a second, never more. @fastify/redis waits for `ready` without end, so it gets a client that is ready.

import fastifyRedis, { type FastifyRedis } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import { connectRedis } from '../plugins/distributed-tenant/index.js'

declare module 'fastify' {
  interface FastifyInstance {
    redis: FastifyRedis
  }
}

export interface RedisPluginOptions {
  url: string
  /** Certificates of the trusted authorities for rediss://, in PEM. Default: those Node knows. */
  ca?: string | undefined
  /** The client's name in `CLIENT LIST`. */
  connectionName: string
  /** Milliseconds the start waits for Redis. Default 500. */
  patience?: number
}

async function redisPlugin(app: FastifyInstance, options: RedisPluginOptions): Promise<void> {
  const client = connectRedis(options.url, options.connectionName, options.ca) as Redis
  watch(client, app)
  app.addHook('onClose', async () => client.disconnect())
  if (await becomesReady(client, options.patience ?? 500)) {
    await app.register(fastifyRedis, { client })
  } else {
    app.log.warn('redis is not reachable: starting without it, connecting in the background')
    app.decorate('redis', client as FastifyRedis)
  }
}

/** Logs once that Redis went down and once that it is back; retries in between run every half second. */
function watch(client: Redis, app: FastifyInstance): void {
  let down = false
  client.on('error', error => {
    // Not the error itself, which may hold the failed command, and so the password.
    const { code, message } = error as NodeJS.ErrnoException
    if (!down) app.log.warn({ code, reason: message }, 'redis connection failed')
    down = true
  })
  client.on('ready', () => {
    if (down) app.log.info('redis connection is back')
    down = false
  })
}

async function becomesReady(client: Redis, patience: number): Promise<boolean> {
  if (client.status === 'ready') return true
  return new Promise(resolve => {
    const settle = (ready: boolean) => {
      clearTimeout(timer)
      client.off('ready', onReady)
      resolve(ready)
    }
    const onReady = () => settle(true)
    const timer = setTimeout(() => settle(false), patience)
    client.once('ready', onReady)
  })
}

export default fp<RedisPluginOptions>(redisPlugin, { name: 'service-redis', fastify: '5.x' })
