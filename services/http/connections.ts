// The bound on a service's open HTTP connections. The server refuses connections over the bound at once; the log has a line a
// minute at most.
// Invariant: a flood of clients leaves descriptors for databases, NATS, Redis and files, and an `accept` that fails never
// ends the process.
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import type { Environment } from '../../plugins/distributed-tenant/index.js'

/** Each costs some 10 to 50 kB: this many are what the heap of one process bears. */
const MOST = 10_000
const FEWEST = 100
/** Descriptors for modules, the log, the central database, NATS, Redis and calls of other services. */
const RESERVED = 200
/** For a process of unknown limit: most systems give at least this. */
const USUAL_DESCRIPTORS = 1_024
const LOG_EVERY_MS = 60_000

/**
 * 10,000, and less where the process may open fewer files: the rest of those once 200 are reserved and two for each
 * tenant connection, one of which is for a cancel request. 100 at least.
 */
export function connectionLimit(
  { HTTP_MAX_CONNECTIONS, DISTRIBUTED_MAX_CONNECTIONS }: Environment,
  descriptors = descriptorLimit(),
): number {
  const left = descriptors - RESERVED - 2 * DISTRIBUTED_MAX_CONNECTIONS
  return HTTP_MAX_CONNECTIONS ?? Math.max(FEWEST, Math.min(MOST, left))
}

/** How many files this process may open. */
function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? USUAL_DESCRIPTORS)
  } catch {
    return USUAL_DESCRIPTORS
  }
}

export function limitConnections(app: FastifyInstance, most: number): void {
  const { server, log } = app
  server.maxConnections = most
  const refused = atIntervals(count =>
    log.warn(
      { refused: count, maxConnections: most },
      'HTTP connections were refused: as many as HTTP_MAX_CONNECTIONS allows are open',
    ),
  )
  server.on('drop', refused)
  // The caller of `listen` gets its failure; one of `accept` would end the process without a listener.
  server.once('listening', () => {
    const failed = atIntervals((count, error) =>
      log.error({ err: error, count }, 'HTTP connections cannot be accepted'),
    )
    server.on('error', failed)
  })
}

/** Calls back at most once a minute, with the number of calls since the last time. */
function atIntervals(say: (count: number, last: unknown) => void): (what: unknown) => void {
  let count = 0
  let loggedAt = Number.NEGATIVE_INFINITY
  return what => {
    count++
    const now = performance.now()
    if (now - loggedAt < LOG_EVERY_MS) return
    say(count, what)
    loggedAt = now
    count = 0
  }
}
