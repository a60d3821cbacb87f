// How an ORM's own program makes the SQL that `distributed-tenant migrate` applies: the commands of docs/orms.md, as they stand
// there, and a tenant that is made with the files.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { readMigrations } from '../../postgres/migrations/migration-files.js'
import { rig } from '../rig.js'

const stand = await rig(t, ['notes'])
const page = readFileSync('docs/orms.md', 'utf8')

/** Inside of the package, so that its packages are found. */
function folderOf(t: { teardown(end: () => void): void }, name: string): string {
  const folder = `dist/test/docs/files-of-${name}`
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'migrations'), { recursive: true })
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function blockOf(start: string): string {
  const text = [...page.matchAll(/^```\w+\n([\s\S]*?)^```/gm)]
    .map(([, text = '']) => text)
    .find(text => text.startsWith(start))
  if (!text) throw new Error(`docs/orms.md has no block that begins with ${start}`)
  return text
}

const sh = (text: string, cwd: string): string =>
  execFileSync('sh', ['-ec', text], {
    cwd,
    encoding: 'utf8',
    stdio: 'pipe',
    env: { ...process.env, PATH: `${resolve('node_modules/.bin')}:${process.env.PATH}` },
  })

const schema = (more: string) => `
  import { integer, pgEnum, pgTable, text } from 'drizzle-orm/pg-core'
  export const mood = pgEnum('mood', ['calm', 'busy'])
  export const authors = pgTable('authors', { id: integer().primaryKey().generatedAlwaysAsIdentity(), name: text().notNull().unique() })
  export const notes = pgTable('notes', {
    id: integer().primaryKey().generatedAlwaysAsIdentity(),
    author: integer().references(() => authors.id),
    mood: mood().default('calm'),
    body: text().notNull(), ${more}
  })`

t.test('drizzle-kit', async t => {
  const folder = folderOf(t, 'drizzle')
  const commands = blockOf('npx drizzle-kit generate')
  writeFileSync(join(folder, 'schema.ts'), schema(''))
  sh(commands, folder)
  writeFileSync(join(folder, 'schema.ts'), schema('title: text(),'))
  const again = commands.replaceAll('0000_notes', '0001_title').replaceAll('001.do.notes', '002.do.title')
  sh(again.replace('--name notes', '--name title'), folder)
  t.same(readdirSync(join(folder, 'migrations')), ['001.do.notes.sql', '002.do.title.sql'])
  const app = await stand.app('notes', { migrations: { tenant: resolve(folder, 'migrations') } })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  t.match(
    await app.tenants.run('acme', ({ sql }) => sql`insert into notes (body, title) values ('a', 'b') returning *`),
    [{ id: 1, author: null, mood: 'calm', body: 'a', title: 'b' }],
  )
})

for (const library of ['kysely', 'knex', 'mikro-orm']) {
  t.test(library, async t => {
    const folder = folderOf(t, library)
    const program = blockOf(`// ${library}-sql.mjs`)
    writeFileSync(join(folder, `${library}-sql.mjs`), program)
    sh((/node .*-sql\.mjs > .*\.sql/.exec(program) as RegExpExecArray)[0], folder)
    const [migration] = readMigrations('tenant', join(folder, 'migrations')).migrations
    t.match(migration, { version: 1, name: 'notes' })
    const database = library.replace('-', '_')
    await stand.look('notes').unsafe(`create database ${database}`)
    const look = stand.look('notes', database)
    await look.unsafe(migration?.do ?? '')
    t.same([...(await look`insert into notes (body) values ('a') returning id, body`)], [{ id: 1, body: 'a' }])
  })
}
