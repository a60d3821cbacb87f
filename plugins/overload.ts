// Refuses requests while the process itself is overloaded: 503 with Retry-After before any work is done. Connections have a
// budget of their own; this samples the event loop and the heap. Health routes are exempt. Invariants: one pause of the event
// loop (a start, a collection of garbage, a container without a turn) is no overload, only one second after another is; a
// sample needs no file descriptor (`process.memoryUsage()` reads a file and throws where none is free), and one that fails
// refuses no request.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { createError } from '@fastify/error'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { every } from '../timing/timers.js'
import { checkPluginOptions } from './distributed-tenant/index.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `true`: this route is answered under any pressure. */
    underPressure?: boolean
  }
}

export const Overloaded = createError(
  'OVERLOADED',
  'This process is overloaded: try again after Retry-After seconds.',
  503,
)

export interface OverloadOptions {
  /**
   * Mean delay of the event loop in milliseconds, in each of two seconds after one another, above which requests are
   * refused; 0 turns it off. Default 1,000.
   */
  maxEventLoopDelay?: number
  /** Share of the heap limit above which requests are refused; 0 turns it off. Default 0.95. */
  maxHeapShare?: number
  /** Seconds in the Retry-After of a refusal. Default 2. */
  retryAfter?: number
}

/** Milliseconds between samples of the event loop's delay. */
const RESOLUTION_MS = 10
const LOOK_MS = 1_000

const checkGiven = checkPluginOptions<OverloadOptions>('overload', {
  maxEventLoopDelay: 'number',
  maxHeapShare: 'number',
  retryAfter: 'number',
})

async function overloadPlugin(app: FastifyInstance, options: OverloadOptions): Promise<void> {
  checkGiven(options)
  const { maxEventLoopDelay = 1000, maxHeapShare = 0.95, retryAfter = 2 } = options
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  let refusing = false
  let wasLate = false

  function look(): void {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
    const late = delay.mean / 1e6 - RESOLUTION_MS
    // Not a number: no sample in a whole second.
    const isLate = maxEventLoopDelay > 0 && (Number.isNaN(late) || late > maxEventLoopDelay)
    refusing = (isLate && wasLate) || (maxHeapShare > 0 && used > limit * maxHeapShare)
    wasLate = isLate
    delay.reset()
  }

  const stop = every(LOOK_MS, look, error => {
    refusing = false
    app.log.error({ err: error }, 'the event loop and the heap cannot be measured')
  })
  app.addHook('onClose', async () => {
    stop()
    delay.disable()
  })
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    if (!refusing || request.routeOptions.config.underPressure) return done()
    reply.header('retry-after', retryAfter)
    done(new Overloaded())
  })
}

export const overload = fp<OverloadOptions>(overloadPlugin, {
  name: 'fastify-distributed-tenant-overload',
  fastify: '5.x',
})
export default overload
