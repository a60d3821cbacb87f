// The span of a request, unless an instrumentation of HTTP or Fastify makes one already: then that one only gets the
// tenant's id. The rest of the request runs in the span's context, also after the reading of a body.

import type { Context, Tracer } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
import { admittedTenant } from '../distributed-tenant/index.js'
import { context, propagation, ROOT_CONTEXT, SpanKind, trace } from './library.js'
import { fail, TENANT } from './spans.js'

const kContext = Symbol('distributed-tenant.trace')
type Carrier = { [kContext]?: Context }

/** Probed every few seconds, and part of no work. */
const UNTRACED = /^\/(metrics|api\/health(\/.*)?)$/

export function traceRequests(app: FastifyInstance, tracer: Tracer): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (trace.getActiveSpan() || UNTRACED.test(request.routeOptions.url ?? '')) return done()
    const { method, headers, routeOptions } = request
    const route = routeOptions.url
    const parent = propagation.extract(ROOT_CONTEXT, headers)
    const span = tracer.startSpan(
      route ? `${method} ${route}` : method,
      {
        kind: SpanKind.SERVER,
        attributes: { 'http.request.method': method, ...(route && { 'http.route': route }) },
      },
      parent,
    )
    const active = trace.setSpan(parent, span)
    ;(request as Carrier)[kContext] = active
    // Fires for every request, also for one whose client has disconnected.
    reply.raw.once('close', () => {
      span.setAttribute('http.response.status_code', reply.statusCode)
      if (reply.statusCode >= 500) fail(span, { message: `answered ${reply.statusCode}` })
      span.end()
    })
    context.with(active, done)
  })

  // A body is read on events of its socket, which are outside of the request's context.
  app.addHook('preValidation', (request, _reply, done) => {
    const active = (request as Carrier)[kContext]
    if (active) context.with(active, done)
    else done()
  })

  app.addHook('preHandler', (request, _reply, done) => {
    const tenant = admittedTenant(request)
    if (tenant) trace.getActiveSpan()?.setAttributes({ [TENANT]: tenant.id })
    done()
  })
}
