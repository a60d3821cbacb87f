// The assembly of lookups: memory, then Redis, then the registry. A Redis client made here is closed here; one that was
// passed in is its owner's.

import type { NotificationsHandle } from '../../../postgres/connections/notifications.js'
import type { RedisClient } from '../config/options.js'
import type { Settings } from '../config/settings.js'
import type { PublishStep } from '../diagnostics/channels.js'
import { createDirectory, type Directory } from '../directory/directory.js'
import { createRemote, type Remote } from '../directory/redis-cache.js'
import { connectRedis } from '../directory/redis-client.js'
import type { SqlClient } from '../types.js'

export interface Lookups {
  readonly directory: Directory
  readonly remote: Remote | null
  /** Closes the Redis client if it is ours. */
  disconnect(): void
}

export function assembleLookups(
  settings: Settings,
  { central, notifications, publish }: { central: SqlClient; notifications: NotificationsHandle; publish: PublishStep },
): Lookups {
  const { redis, close } = redisOf(settings, publish)
  const remote = redis
    ? createRemote({
        redis,
        service: settings.service,
        keys: settings.roleKeys,
        ttlMs: settings.cacheTtl,
        report: event => publish({ area: 'cache', event }),
      })
    : null
  const directory = createDirectory({
    central,
    remote,
    notifications,
    cacheTtl: settings.cacheTtl,
    report: event => publish({ area: 'lookup', event }),
    announced: () => publish.hasSubscribers('lookup'),
  })
  return {
    directory,
    remote,
    disconnect: close,
  }
}

function redisOf(
  { redis, redisCa, service }: Settings,
  publish: PublishStep,
): { redis: RedisClient | null; close: () => void } {
  if (typeof redis !== 'string') return { redis, close: () => {} }
  const client = connectRedis(redis, service, redisCa)
  client.on('error', error => publish({ area: 'cache', event: { type: 'remote_failed', error } }))
  return { redis: client, close: () => client.disconnect() }
}
