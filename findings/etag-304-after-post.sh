#!/usr/bin/env bash
# @fastify/etag 6.2.0: a POST or PUT that has done its work answers 304, and so do a 404 and a 503
#
# Version:   @fastify/etag 6.2.0, fastify 5.12.8 (npm)
# Guess:     304 is for GET and HEAD that would have had 200. For a PUT the header If-None-Match is not looked at, or it is answered with 412 before
#            anything is written (RFC 9110, 13.1.2 and 13.2.1).
# Seen:      the handler runs and writes, and then the answer to PUT and to POST is 304 without a body, when the new answer has the tag that the
#            client names; `{ ok: true }` always has. A 404 or a 503 that the client had before is 304 too.
# Matters:   a client that sends its tags with every request, as a shared wrapper of `fetch` does, reads a done write as "not modified", and an
#            outage or a deleted row as "not modified" from the second time on. docs/troubleshooting.md names the cure for errors.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/etag@6.2.0 2> /dev/null
cat > look.mjs <<'JS'
import etag from '@fastify/etag'
import Fastify from 'fastify'

let writes = 0
const app = Fastify()
await app.register(etag)
app.get('/notes/1', async () => ({ text: 'a' }))
app.get('/notes/2', async (_request, reply) => reply.code(404).send({ error: 'no such note' }))
app.get('/notes/3', async (_request, reply) => reply.code(503).send({ error: 'busy' }))
for (const method of ['PUT', 'POST']) {
  app.route({ method, url: '/notes/1', handler: async () => { writes++; return { text: 'a' } } })
}
for (const [method, url] of [['GET', '/notes/1'], ['PUT', '/notes/1'], ['POST', '/notes/1'], ['GET', '/notes/2'], ['GET', '/notes/3']]) {
  const first = await app.inject({ method, url })
  const second = await app.inject({ method, url, headers: { 'if-none-match': first.headers.etag } })
  console.log(`${method} ${url}: ${first.statusCode}, then ${second.statusCode} with ${second.payload.length} bytes`)
}
console.log(`writes: ${writes}`)
await app.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'GET /notes/1: 200, then 304 with 0 bytes
PUT /notes/1: 200, then 304 with 0 bytes
POST /notes/1: 200, then 304 with 0 bytes
GET /notes/2: 404, then 304 with 0 bytes
GET /notes/3: 503, then 304 with 0 bytes
writes: 4' ]
