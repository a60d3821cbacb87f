// The metrics of every request: lookups, leases and waits, and the answers of the server itself.
// Each is one prepared counter or two (0.2 µs each, measured), because they are on the path of every request.
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { subscribe } from '../distributed-tenant/index.js'
import { Counter, Histogram } from './library.js'

/** Seconds. */
export const WAITS = [0.0005, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5]

export interface CountOptions {
  readonly registry: Registry
  readonly origin: object
}

/** @returns how to stop */
export function countLookups({ registry, origin }: CountOptions): () => void {
  const registers = [registry]
  const lookups = new Counter({
    name: 'fdt_lookups_total',
    help: 'Lookups of a tenant, by where the answer came from and what it was.',
    labelNames: ['source', 'outcome'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'fdt_lookup_seconds',
    help: 'Lookups that memory could not answer.',
    labelNames: ['source'] as const,
    buckets: WAITS,
    registers,
  })
  lookups.labels('none', 'failed').inc(0)
  const fromMemory = {
    found: lookups.labels('memory', 'found'),
    not_found: lookups.labels('memory', 'not_found'),
  }

  return subscribe(
    step => {
      if (step.area !== 'lookup') return
      const { event } = step
      if (event.type === 'lookup') {
        const outcome = event.found ? 'found' : 'not_found'
        if (event.source === 'memory') {
          fromMemory[outcome].inc()
          return
        }
        lookups.labels(event.source, outcome).inc()
        seconds.labels(event.source).observe(event.ms / 1000)
      } else if (event.type === 'lookup_failed') {
        lookups.labels('none', 'failed').inc()
      }
    },
    origin,
    ['lookup'],
  )
}

/** @returns how to stop */
export function countLeases({ registry, origin }: CountOptions, tenantOf: TenantNamed): () => void {
  const registers = [registry]
  const leases = new Counter({
    name: 'fdt_leases_total',
    help: 'Claims on a connection, by pool and outcome; refused: the wait for the budget was over.',
    labelNames: ['pool', 'outcome'] as const,
    registers,
  })
  const waits = new Histogram({
    name: 'fdt_wait_seconds',
    help: 'How long a claim waited for its connection, a connect included; those served at once too.',
    labelNames: ['pool'] as const,
    buckets: WAITS,
    registers,
  })
  const chosen = new Counter({
    name: 'fdt_tenant_leases_total',
    help: 'Claims on a connection of the tenants named in METRICS_TENANTS.',
    labelNames: ['tenant', 'outcome'] as const,
    registers,
  })
  const pools = Object.fromEntries(
    (['tenant', 'central', 'provisioning'] as const).map(pool => [
      pool,
      {
        leased: leases.labels(pool, 'leased'),
        refused: leases.labels(pool, 'refused'),
        waited: waits.labels(pool),
      },
    ]),
  )

  return subscribe(
    step => {
      if (step.area !== 'lease') return
      const { type, key, waitedMs } = step.event
      const pool = pools[step.pool]
      if (!pool || (type !== 'leased' && type !== 'refused')) return
      pool[type].inc()
      pool.waited.observe(waitedMs / 1000)
      if (step.pool !== 'tenant') return
      const tenant = tenantOf(key)
      if (tenant !== undefined) chosen.labels(tenant, type).inc()
    },
    origin,
    ['lease'],
  )
}

/** The tenant of a database if it may be a label, else undefined. */
export type TenantNamed = (database: string) => string | undefined

/** Answers by status class. A client that left before its answer is not among them. */
export function countAnswers(app: FastifyInstance, registry: Registry): void {
  const registers = [registry]
  const answers = new Counter({
    name: 'fdt_http_requests_total',
    help: 'Answered requests, by class of status.',
    labelNames: ['status'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'fdt_http_request_seconds',
    help: 'From the request to the end of its answer.',
    buckets: WAITS,
    registers,
  })
  const classes = [1, 2, 3, 4, 5].map(first => answers.labels(`${first}xx`))
  app.addHook('onResponse', (_request, reply, done) => {
    classes[Math.floor(reply.statusCode / 100) - 1]?.inc()
    seconds.observe(reply.elapsedTime / 1000)
    done()
  })
}
