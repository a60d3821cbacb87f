// Trace context over the stream: the publisher's context goes into the headers of the stored event, and is restored
// around the handling of the event. A bare publish has no context and begins a trace of its own.
import type { Tracer } from '@opentelemetry/api'
import { type IncomingEvent, onOutgoingEvent, subscribe } from '../distributed-tenant/index.js'
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from './library.js'
import { fail, SERVICE, TENANT } from './spans.js'

/** @returns how to stop */
export function traceEvents(tracer: Tracer, origin: object): () => void {
  const stopWriting = onOutgoingEvent(({ headers }) => propagation.inject(context.active(), headers))
  const stopHearing = subscribe(
    published => {
      if (published.area === 'incoming') follow(published.event, published.service)
    },
    origin,
    ['incoming'],
  )

  function follow(arrival: IncomingEvent, service: string): void {
    const { run, subject, tenantId, headers, deliveryCount } = arrival
    arrival.run = async () => {
      const parent = propagation.extract(ROOT_CONTEXT, headers)
      const attributes = {
        'messaging.system': 'nats',
        'messaging.destination.name': subject,
        'messaging.nats.delivery_count': deliveryCount,
        [TENANT]: tenantId,
        [SERVICE]: service,
      }
      const span = tracer.startSpan(`consume ${subject}`, { kind: SpanKind.CONSUMER, attributes }, parent)
      try {
        await context.with(trace.setSpan(parent, span), run)
      } catch (error) {
        fail(span, error)
        throw error
      } finally {
        span.end()
      }
    }
  }

  return () => {
    stopWriting()
    stopHearing()
  }
}
