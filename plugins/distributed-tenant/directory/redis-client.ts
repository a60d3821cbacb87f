// The Redis client: every command has its own short deadline, none is queued, none is sent twice. A dead or frozen Redis then
// costs a command at most a tenth of a second, and callers take every failure for a miss.
import { createRequire } from 'node:module'
import type { Redis } from 'ioredis'

const require = createRequire(import.meta.url)

/** Set as options, since the URL's query parameters would win over options. */
function encrypted(url: string, ca: string | undefined) {
  const address = new URL(url)
  address.searchParams.delete('tls')
  return { url: address.href, tls: { rejectUnauthorized: true, ...(ca !== undefined && { ca }) } }
}

/**
 * A client that connects in the background, for ever. It needs a listener for `error` from its maker.
 * Each option is needed: without any one of them a command hangs, waits for a reconnect, or runs twice (docs/decisions/0007).
 * With `rediss://` the server's certificate is verified: chain, time and name.
 * @param ca certificates of the trusted authorities, in PEM; default: Node's own authorities
 * @param commandTimeout milliseconds; default 100: a request asks the registry rather than wait
 */
export function connectRedis(url: string, connectionName: string, ca?: string, commandTimeout = 100): Redis {
  const { url: address, ...tls } = /^rediss:/i.test(url) ? encrypted(url, ca) : { url }
  // Loaded when there is a Redis: the operator's command and many services have none, and it takes a tenth of a second.
  const { Redis: Client } = require('ioredis') as typeof import('ioredis')
  const client = new Client(address, {
    ...tls,
    connectionName,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout,
    connectTimeout: 500,
    retryStrategy: attempt => Math.min(50 * attempt, 500),
  })
  // The first listener: a refused login's error holds its command, and so the password, which a logger would print.
  client.on('error', error => {
    delete (error as { command?: unknown }).command
  })
  return client
}
