// The conversion of a finished step into a span: with its start in the past, as a child of the active one. Steps outside of
// any trace (polls, health checks) make none, or every second would be a trace of its own.
import type { Attributes, Span, Tracer } from '@opentelemetry/api'
import { context, SpanStatusCode, trace } from './library.js'

/** Names of OpenTelemetry's conventions where there is one. */
export const TENANT = 'tenant.id'
export const SERVICE = 'tenant.service'
export const DATABASE = 'db.namespace'
export const SYSTEM = 'db.system.name'

export interface Past {
  readonly name: string
  /** Milliseconds until now. */
  readonly ms: number
  readonly attributes: Attributes
  readonly error?: unknown
}

export function spanOfPast(tracer: Tracer, { name, ms, attributes, error }: Past, parent = context.active()): void {
  if (!trace.getSpan(parent)) return
  const end = Date.now()
  const span = tracer.startSpan(name, { startTime: end - ms, attributes }, parent)
  if (error !== undefined) fail(span, error)
  span.end(end)
}

/** Code and first line: an error's detail may hold a row. */
export function fail(span: Span, error: unknown): void {
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (typeof code === 'string') span.setAttribute('error.type', code)
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: typeof message === 'string' ? (message.split('\n')[0] ?? '') : String(error),
  })
}

/** The tenant of `tenant_<id>_<service>`; undefined for the central database and others that belong to no tenant. */
export const tenantOf = (database: string): string | undefined => /^tenant_(.+)_[a-z0-9]+$/.exec(database)?.[1]

export function aboutDatabase(database: string): Attributes {
  const tenant = tenantOf(database)
  return { [SYSTEM]: 'postgresql', [DATABASE]: database, ...(tenant === undefined ? {} : { [TENANT]: tenant }) }
}
