// The spans of steps that are published when they end: lookups that memory could not answer, steps of a provisioning, the
// publishing of an outbox row, which belongs to the trace that wrote the row.
import type { Tracer } from '@opentelemetry/api'
import { subscribe } from '../distributed-tenant/index.js'
import { propagation, ROOT_CONTEXT } from './library.js'
import { SERVICE, spanOfPast, TENANT } from './spans.js'

/** @returns how to stop */
export function traceSteps(tracer: Tracer, origin: object): () => void {
  return subscribe(
    published => {
      const about = { [SERVICE]: published.service }
      if (published.area === 'lookup') {
        const { event } = published
        if (event.type === 'lookup' && event.source !== 'memory') {
          const attributes = { ...about, 'tenant.lookup.source': event.source, 'tenant.lookup.found': event.found }
          spanOfPast(tracer, { name: 'tenant lookup', ms: event.ms, attributes })
        } else if (event.type === 'lookup_failed') {
          spanOfPast(tracer, { name: 'tenant lookup', ms: event.ms, attributes: about, error: { message: 'failed' } })
        }
      } else if (published.area === 'provision') {
        const { step, id, ms, error } = published.event
        spanOfPast(tracer, { name: `tenant provision ${step}`, ms, attributes: { ...about, [TENANT]: id }, error })
      } else if (published.area === 'relay') {
        // The relay also reads, claims and sweeps, which belongs to no trace.
        if (!('ms' in published.event)) return
        const { subject, ms, headers } = published.event
        const attributes = { ...about, 'messaging.system': 'nats', 'messaging.destination.name': subject }
        const failed = 'error' in published.event ? { error: published.event.error } : {}
        const parent = propagation.extract(ROOT_CONTEXT, headers)
        spanOfPast(tracer, { name: `publish ${subject}`, ms, attributes, ...failed }, parent)
      }
    },
    origin,
    ['lookup', 'provision', 'relay'],
  )
}
