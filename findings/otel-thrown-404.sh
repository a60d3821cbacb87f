#!/usr/bin/env bash
# @fastify/otel 0.21.2: a 404 that is thrown is an error of the span, a 404 that is sent is none
#
# Version:   @fastify/otel 0.21.2, fastify 5.12.8, @opentelemetry/sdk-trace-node 2.12.1 (npm)
# Guess:     the status of a server's span follows the HTTP conventions: 4xx leaves it unset, 5xx is ERROR, however the answer was made.
# Seen:      `reply.code(404).send()` and a route that does not exist leave the status unset. A thrown error with status 404, and a request that
#            the schema refuses with 400, make the span an ERROR with an exception.
# Matters:   clients that ask for what does not exist count as failures of the service. The refusals of this plugin are thrown (TENANT_NOT_FOUND,
#            TENANT_REQUIRED, …), so they do too: docs/tracing.md says what to count by.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/otel@0.21.2 @opentelemetry/api@1.9.1 @opentelemetry/sdk-trace-base@2.12.1 @opentelemetry/sdk-trace-node@2.12.1 2> /dev/null
cat > look.mjs <<'JS'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import Fastify from 'fastify'

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
provider.register()
const instrumentation = new FastifyOtelInstrumentation()
instrumentation.setTracerProvider(provider)
const app = Fastify()
await app.register(instrumentation.plugin())
app.get('/sent', async (_request, reply) => reply.code(404).send({ message: 'no such note' }))
app.get('/thrown', async () => {
  throw Object.assign(new Error('no such note'), { statusCode: 404 })
})
const query = { type: 'object', required: ['page'], properties: { page: { type: 'integer' } } }
app.get('/refused', { schema: { querystring: query } }, async () => 'served')
for (const url of ['/sent', '/thrown', '/refused', '/nowhere']) {
  exporter.reset()
  const { statusCode } = await app.inject(url)
  const span = exporter.getFinishedSpans().find(({ kind }) => kind === SpanKind.SERVER)
  console.log(`${url}: ${statusCode}, span ${SpanStatusCode[span.status.code]}, exceptions ${span.events.length}`)
}
await app.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '/sent: 404, span UNSET, exceptions 0
/thrown: 404, span ERROR, exceptions 1
/refused: 400, span ERROR, exceptions 1
/nowhere: 404, span UNSET, exceptions 0' ]
