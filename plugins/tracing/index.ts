// Traces: a request, its lookup, wait, connect and queries, an event from the change that caused it to every service that
// handles it. Only OpenTelemetry's API is used; the SDK is the application's. Without an SDK this plugin adds no hook and
// subscribes to nothing, so that it costs nothing.
import type { Tracer } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { ConfigurationInvalid, checkPluginOptions } from '../distributed-tenant/index.js'
import { traceEvents } from './events.js'
import { isSpanContextValid, ROOT_CONTEXT, trace } from './library.js'
import { traceQueries } from './queries.js'
import { traceRequests } from './requests.js'
import { traceSteps } from './steps.js'

export interface TracingOptions {
  /** Default: whether an SDK is registered when this plugin is. */
  enabled?: boolean
}

const checkGiven = checkPluginOptions<TracingOptions>('tracing', { enabled: 'boolean' })

async function tracingPlugin(app: FastifyInstance, options: TracingOptions): Promise<void> {
  checkGiven(options)
  const tracer = trace.getTracer('fastify-distributed-tenant')
  if (!(options.enabled ?? hasSdk(tracer))) return
  traceRequests(app, tracer)
  // Registered before the tenant plugin, so that its lookup runs in the request's context; its steps begin after this.
  app.addHook('onReady', async () => {
    if (!app.hasDecorator('tenants')) {
      throw new ConfigurationInvalid('Tracing follows the tenant plugin: register distributedTenant after it.')
    }
    const { origin } = app.tenants
    const stops = [traceSteps(tracer, origin), traceQueries(tracer, origin), traceEvents(tracer, origin)]
    onClose = () => {
      for (const stop of stops) stop()
    }
  })
  let onClose = (): void => {}
  app.addHook('onClose', async () => onClose())
}

/** The API's own tracer makes spans without an identity; this one is never ended, so no exporter sees it. */
const hasSdk = (tracer: Tracer): boolean =>
  isSpanContextValid(tracer.startSpan('is there an SDK', { root: true }, ROOT_CONTEXT).spanContext())

export const tracing = fp<TracingOptions>(tracingPlugin, {
  name: 'fastify-distributed-tenant-tracing',
  fastify: '5.x',
})
export default tracing
