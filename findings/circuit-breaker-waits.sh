#!/usr/bin/env bash
# @fastify/circuit-breaker 4.0.3: `timeout: 100` answers when the handler is done, after a second, and counts it as two failures
#
# Version:   @fastify/circuit-breaker 4.0.3, fastify 5.12.8 (npm)
# Guess:     a handler that takes longer than `timeout` is answered for at that time, with 503 and "Timeout"; with `threshold: 4` the circuit
#            opens after four of them.
# Seen:      the client waits the whole second of the handler, and then has 503 "Timeout" in place of the handler's 200: the time is looked at
#            only once there is an answer. The circuit is open after two: the plugin's own error runs its `onSend` hook again, which counts
#            the same call once more.
# Matters:   a slow dependency holds every client for as long as it takes, good answers are thrown away, and half of the threshold is enough.
#            A limit of time is Fastify's `handlerTimeout`, or the deadline of a statement (`queryTimeout` of this plugin).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 @fastify/circuit-breaker@4.0.3 2> /dev/null
cat > look.mjs <<'JS'
import { setTimeout as sleep } from 'node:timers/promises'
import circuitBreaker from '@fastify/circuit-breaker'
import Fastify from 'fastify'

const app = Fastify()
await app.register(circuitBreaker)
app.get('/slow', { preHandler: app.circuitBreaker({ timeout: 100, threshold: 4 }) }, async () => {
  await sleep(1_000)
  return 'the answer'
})
await app.ready()
for (let call = 1; call <= 3; call++) {
  const began = performance.now()
  const { statusCode, payload } = await app.inject('/slow')
  const waited = performance.now() - began >= 990
  console.log(`call ${call}: ${statusCode} ${JSON.parse(payload).code}, waited for the handler: ${waited}`)
}
await app.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'call 1: 503 FST_ERR_CIRCUIT_BREAKER_TIMEOUT, waited for the handler: true
call 2: 503 FST_ERR_CIRCUIT_BREAKER_TIMEOUT, waited for the handler: true
call 3: 503 FST_ERR_CIRCUIT_BREAKER_OPEN, waited for the handler: false' ]
