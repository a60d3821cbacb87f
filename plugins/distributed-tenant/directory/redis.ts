// Owns how we talk to Redis: every command has its own short deadline, nothing queues, nothing is sent twice. A dead or
// frozen Redis then costs a command at most a tenth of a second, and a caller takes every failure for a miss.
import { Redis } from 'ioredis'

/**
 * A client that connects in the background, for ever. It needs a listener for `error` from its maker.
 * Each option is needed: without any one of them a command hangs, waits for a reconnect, or runs twice (facts E).
 */
export function connectRedis(url: string, connectionName: string): Redis {
  return new Redis(url, {
    connectionName,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: 100,
    connectTimeout: 500,
    retryStrategy: attempt => Math.min(50 * attempt, 500),
  })
}
