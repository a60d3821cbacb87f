// Owns the spans of what is told when it is over: lookups that memory could not answer, steps of a provisioning, the
// publishing of an outbox row, which belongs to the trace of whoever wrote the row.
import { propagation, ROOT_CONTEXT, type Tracer } from '@opentelemetry/api'
import { hear } from '../distributed-tenant/index.js'
import { SERVICE, spanOfPast, TENANT } from './spans.js'

/** @returns how to stop */
export function traceSteps(tracer: Tracer, origin: object): () => void {
  return hear(
    told => {
      const about = { [SERVICE]: told.service }
      if (told.area === 'lookup') {
        const { event } = told
        if (event.type === 'lookup' && event.source !== 'memory') {
          const attributes = { ...about, 'tenant.lookup.source': event.source, 'tenant.lookup.found': event.found }
          spanOfPast(tracer, { name: 'tenant lookup', ms: event.ms, attributes })
        } else if (event.type === 'lookup_failed') {
          spanOfPast(tracer, { name: 'tenant lookup', ms: event.ms, attributes: about, error: { message: 'failed' } })
        }
      } else if (told.area === 'provision') {
        const { step, id, ms, error } = told.event
        spanOfPast(tracer, { name: `tenant provision ${step}`, ms, attributes: { ...about, [TENANT]: id }, error })
      } else if (told.area === 'relay') {
        // The relay also looks, claims and sweeps, which belongs to nobody's trace.
        if (!('ms' in told.event)) return
        const { subject, ms, headers } = told.event
        const attributes = { ...about, 'messaging.system': 'nats', 'messaging.destination.name': subject }
        const failed = 'error' in told.event ? { error: told.event.error } : {}
        const parent = propagation.extract(ROOT_CONTEXT, headers)
        spanOfPast(tracer, { name: `publish ${subject}`, ms, attributes, ...failed }, parent)
      }
    },
    origin,
    ['lookup', 'provision', 'relay'],
  )
}
