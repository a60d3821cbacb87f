// The spans of a request's database work: the wait for a connection, the connect that ended it, each statement. Each span is
// made in the context of the request. A connect serves a waiting request but runs outside of its context: it is kept until a
// wait for the same database ends, and belongs to that one.
import type { Span, Tracer } from '@opentelemetry/api'
import { LRUCache } from 'lru-cache'
import { type PublishedStep, subscribe } from '../distributed-tenant/index.js'
import { SpanKind, trace } from './library.js'
import { aboutDatabase, fail, spanOfPast } from './spans.js'

/** A shorter wait makes no span: the connection was there. */
const SHORTEST_WAIT_MS = 0.2

interface Connect {
  readonly at: number
  readonly ms: number
}

/** @returns how to stop */
export function traceQueries(tracer: Tracer, origin: object): () => void {
  const running = new WeakMap<object, Span>()
  const connects = new LRUCache<string, Connect>({ max: 1_000, ttl: 10_000 })

  return subscribe(onStep, origin, ['connection', 'query'])

  function onStep(published: PublishedStep): void {
    if (published.area === 'connection') {
      if (published.event.type === 'opened')
        connects.set(published.event.key, { at: performance.now(), ms: published.event.ms })
    } else if (published.area === 'query') {
      const { event } = published
      if (event.type === 'sent') begin(event)
      else if (event.type === 'ended') end(event)
      else if (event.type === 'waited') waited(event)
    }
  }

  function begin({ key, statement, operation }: { key: string; statement: object; operation: string }): void {
    if (!trace.getActiveSpan()) return
    const attributes = { ...aboutDatabase(key), 'db.operation.name': operation }
    running.set(statement, tracer.startSpan(`query ${operation}`, { kind: SpanKind.CLIENT, attributes }))
  }

  function end({ statement, error }: { statement: object; error?: unknown }): void {
    const span = running.get(statement)
    if (!span) return
    running.delete(statement)
    if (error !== undefined) fail(span, error)
    span.end()
  }

  function waited({ key, ms, error }: { key: string; ms: number; error?: unknown }): void {
    if (ms < SHORTEST_WAIT_MS && error === undefined) return
    if (!trace.getActiveSpan()) return
    const attributes = aboutDatabase(key)
    const connect = connects.get(key)
    if (connect && performance.now() - connect.at < ms) {
      connects.delete(key)
      spanOfPast(tracer, { name: 'connect', ms: connect.ms, attributes })
    }
    spanOfPast(tracer, { name: 'wait for connection', ms, attributes, error })
  }
}
