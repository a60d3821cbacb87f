#!/usr/bin/env bash
# fastify 5.12.8: a path takes 31 hosts, the 32nd tenant's route is refused
#
# Version:   fastify 5.12.8, find-my-way 9.10.1 (npm)
# Guess:     `constraints: { host: 'acme.example.com' }` is a table of hosts by path: as many as there are tenants.
# Seen:      the 32nd handler of one path and method is refused: "find-my-way supports a maximum of 31 route handlers per node when there are
#            constraints". Plugins registered per tenant, each with its host and the same paths, fail with the 32nd tenant.
# Matters:   tenants by host need a lookup in a hook, as the plugin's `fromDomain` and `fromSubdomain` are, and no route of their own.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund fastify@5.12.8 find-my-way@9.10.1 2> /dev/null
cat > look.mjs <<'JS'
import Fastify from 'fastify'

const app = Fastify()
let tenants = 0
let message = 'none'
try {
  for (; tenants < 100; tenants++) {
    const host = `tenant-${tenants}.example.com`
    app.get('/notes', { constraints: { host } }, async () => host)
  }
} catch (error) {
  message = error.message
}
const last = await app.inject({ url: '/notes', headers: { host: 'tenant-30.example.com' } })
console.log(`tenants: ${tenants}; the last one is served: ${last.payload}; error: ${message}`)
await app.close()
JS
seen=$(node look.mjs)
echo "$seen"
[[ "$seen" = 'tenants: 31; the last one is served: tenant-30.example.com; error: find-my-way supports a maximum of 31 route handlers'* ]]
