// Owns what happens when the process itself cannot keep up: it answers 503 with Retry-After before any work is done.
// Connections have a budget of their own; this watches the event loop and the heap. Health routes are exempt.
import { getHeapStatistics } from 'node:v8'
import createError from '@fastify/error'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers instead of the 503 when the process is overloaded; returning nothing lets the request pass. */
    pressureHandler?: (request: FastifyRequest, reply: FastifyReply, type: string, value: number | undefined) => void
  }
}

export const Overloaded = createError(
  'OVERLOADED',
  'This process has more to do than it can: try again after Retry-After seconds.',
  503,
)

export interface OverloadOptions {
  /** Mean delay of the event loop in milliseconds above which requests are refused; 0 turns it off. Default 1,000. */
  maxEventLoopDelay?: number
  /** Share of the heap limit above which requests are refused; 0 turns it off. Default 0.95. */
  maxHeapShare?: number
  /** Seconds a refused client is told to wait. Default 2. */
  retryAfter?: number
}

async function overloadPlugin(app: FastifyInstance, options: OverloadOptions): Promise<void> {
  const { maxEventLoopDelay = 1000, maxHeapShare = 0.95, retryAfter = 2 } = options
  await app.register(underPressure, {
    maxEventLoopDelay,
    maxHeapUsedBytes: Math.floor(getHeapStatistics().heap_size_limit * maxHeapShare),
    retryAfter,
    customError: Overloaded,
  })
}

/** For `config.pressureHandler`: this route is answered under any pressure. */
export const underAnyPressure = (): void => {}

export const overload = fp<OverloadOptions>(overloadPlugin, {
  name: 'fastify-distributed-tenant-overload',
  fastify: '5.x',
})
export default overload
