#!/usr/bin/env bash
# @fastify/sse 0.6.0: an event with id 0 is sent without its id
#
# Version:   @fastify/sse 0.6.0, fastify 5.12.8 (npm)
# Guess:     every id that is given is written, so a stream that is numbered from 0 starts with `id: 0`; so is an empty id, by which the
#            format lets a client forget its last one.
# Seen:      `id: 0`, an empty id and `retry: 0` are left out without an error; `id: '0'` is written.
# Matters:   a client that loses its connection behind the first event of a stream numbered from 0 connects without Last-Event-ID. The streams
#            of this project number from 1 (services/identity, plugins/console).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/sse@0.6.0
cat > look.mjs <<'JS'
import Fastify from 'fastify'
import sse from '@fastify/sse'

const app = Fastify()
await app.register(sse)
app.get('/events', { sse: 'only' }, async (_request, reply) => {
  await reply.sse.send({ id: 0, data: 'number' })
  await reply.sse.send({ id: '0', data: 'text' })
  await reply.sse.send({ id: '', data: 'empty' })
  await reply.sse.send({ retry: 0, data: 'retry' })
  await reply.sse.send({ id: 1, data: 'one' })
})
const { payload } = await app.inject({ url: '/events', headers: { accept: 'text/event-stream' } })
await app.close()
console.log(payload)
const of = data => payload.split('\n\n').find(event => event.includes(data)) ?? ''
const same =
  !of('number').includes('id:') && of('text').includes('id: 0') && !of('empty').includes('id:') &&
  !of('retry"').includes('retry:') && of('one').includes('id: 1')
console.log(same ? 'as described' : 'CHANGED')
process.exit(same ? 0 : 1)
JS
node look.mjs
