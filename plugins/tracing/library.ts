// The application's own copy of OpenTelemetry's API, which its SDK is registered with.
import { requirePeer } from '../distributed-tenant/index.js'

export const { context, isSpanContextValid, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } =
  requirePeer<typeof import('@opentelemetry/api')>('@opentelemetry/api')
