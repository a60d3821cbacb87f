#!/usr/bin/env bash
# @fastify/http-proxy 11.6.3: a 503 with `Retry-After: 5` is asked for again ten times within five seconds
#
# Version:   @fastify/http-proxy 11.6.3, @fastify/reply-from 12.6.5, fastify 5.12.8 (npm)
# Guess:     a proxy passes a 503 on. If it repeats a GET by itself, it waits the seconds that Retry-After names.
# Seen:      the service is asked eleven times, and the client has its 503 after less than a second: the header's text `5` is given to
#            setTimeout, as milliseconds. `replyOptions: { maxRetriesOn503: 0 }` changes nothing, as 0 counts as left out; with 1 it is asked
#            twice. POST is asked once. `retryMethods: []` ends it.
# Matters:   a service that says it is overloaded has eleven times the load behind such a gateway, and its Retry-After has no effect.
#            docs/troubleshooting.md names the cure for every 503 of this plugin (TENANT_BUSY and the others, all with Retry-After).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/http-proxy@11.6.3 @fastify/reply-from@12.6.5 2> /dev/null
cat > look.mjs <<'JS'
import proxy from '@fastify/http-proxy'
import Fastify from 'fastify'

let calls = 0
const service = Fastify()
service.all('/busy', async (_request, reply) => {
  calls++
  return reply.code(503).header('retry-after', '5').send('busy')
})
const upstream = await service.listen({ port: 0, host: '127.0.0.1' })
async function look(name, options, method = 'GET') {
  const gateway = Fastify()
  await gateway.register(proxy, { upstream, ...options })
  const address = await gateway.listen({ port: 0, host: '127.0.0.1' })
  calls = 0
  const began = performance.now()
  const { status, headers } = await fetch(`${address}/busy`, { method })
  const soon = performance.now() - began < 5_000
  console.log(`${name}: ${status}, Retry-After ${headers.get('retry-after')}, asked ${calls} times, within 5 s: ${soon}`)
  await gateway.close()
}
await look('GET', {})
await look('POST', {}, 'POST')
await look('maxRetriesOn503: 0', { replyOptions: { maxRetriesOn503: 0 } })
await look('maxRetriesOn503: 1', { replyOptions: { maxRetriesOn503: 1 } })
await look('retryMethods: []', { retryMethods: [] })
await service.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'GET: 503, Retry-After 5, asked 11 times, within 5 s: true
POST: 503, Retry-After 5, asked 1 times, within 5 s: true
maxRetriesOn503: 0: 503, Retry-After 5, asked 11 times, within 5 s: true
maxRetriesOn503: 1: 503, Retry-After 5, asked 2 times, within 5 s: true
retryMethods: []: 503, Retry-After 5, asked 1 times, within 5 s: true' ]
