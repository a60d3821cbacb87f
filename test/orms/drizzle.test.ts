// Drizzle over the client of a tenant gives the same results as over a `postgres` client of its own.
import { asc, eq, relations, sql as text } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { defineRelations } from 'drizzle-orm-rc'
import { drizzle as drizzleRc } from 'drizzle-orm-rc/postgres-js'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { overDrizzle, overDrizzleRc } from '../../bench/orms/drizzle.js'
import { causeOf } from '../../bench/orms/orm.js'
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'
import { codeOf, stand } from '../postgres/stand.js'
import { TABLES, tables, tablesRc } from './drizzle-schema.js'
import { keepsPromises } from './promises.js'

const authorOfBooks = relations(tables.authors, ({ many }) => ({ books: many(tables.books) }))
const booksOfAuthor = relations(tables.books, ({ one }) => ({
  by: one(tables.authors, { fields: [tables.books.author], references: [tables.authors.id] }),
}))
const schema = { ...tables, authorOfBooks, booksOfAuthor }

const current = (client: postgres.Sql | SqlClient) => drizzle(client, { schema })
type Db = ReturnType<typeof current>

const relationsRc = defineRelations(tablesRc as never, (r: never) => {
  const { many, one, books, authors } = r as Record<string, never> as never as {
    many: { books: () => unknown }
    one: { authors: (how: object) => unknown }
    books: { author: unknown }
    authors: { id: unknown }
  }
  return {
    authors: { books: many.books() },
    books: { by: one.authors({ from: books.author, to: authors.id }) },
  } as never
})
const candidate = (client: postgres.Sql | SqlClient) =>
  drizzleRc({ client: client as postgres.Sql, relations: relationsRc }) as unknown as Db

/** Values at the limits of each type. */
const book = {
  title: 'A “title” with \\ and {braces}',
  price: '1234567890.12',
  prices: ['1.10', '2.00'],
  rating: 0.1,
  sold: 9_007_199_254_740_993n,
  extra: { a: [1, { b: null }], text: 'x"y', when: '2024-01-01' },
  plain: ['list', 1],
  extras: [{ a: 1 }, { b: ['c,d', '"'] }],
  tags: ['a', 'b,c', '{"}', '', 'null'],
  counts: [1, 2, 3],
  flags: [true, false],
  moods: ['calm', 'busy'] as ('calm' | 'busy')[],
  mood: 'busy' as const,
  day: new Date('2024-03-31T00:00:00Z'),
  days: [new Date('2024-03-31T00:00:00Z'), new Date('1999-12-31T00:00:00Z')],
  at: new Date('2024-03-31T02:30:00.123Z'),
  ats: [new Date('2024-03-31T02:30:00.123Z'), new Date('2024-10-27T02:30:00Z')],
  zoned: new Date('2024-07-01T12:00:00.456Z'),
  zoneds: [new Date('2024-07-01T12:00:00.456Z')],
  dayText: '2024-02-29',
  zonedText: '2024-07-01 12:00:00+02',
  clock: '23:59:59',
  lasts: '1 day 02:03:04',
  cover: '5f0d1f60-6b6c-4a1f-9e0e-0d6d3c4cf9a4',
  available: true,
}

async function scenario(db: Db, { authors, books }: typeof tables): Promise<unknown[]> {
  const seen: unknown[] = []
  const see = async (what: PromiseLike<unknown>) => seen.push(await what)
  await db.execute(text`truncate authors, books restart identity`)
  await see(
    db
      .insert(authors)
      .values([{ name: 'Ada' }, { name: 'Bo' }])
      .returning(),
  )
  await see(
    db
      .insert(books)
      .values([
        { author: 1, ...book },
        { author: 2, title: 'empty' },
      ])
      .returning(),
  )
  await see(db.select().from(books).orderBy(asc(books.id)))
  await see(db.select({ at: books.at, extra: books.extra }).from(books).where(eq(books.zoned, book.zoned)))
  await see(db.select().from(books).where(eq(books.extra, book.extra)))
  await see(db.update(books).set({ extra: [], at: book.zoned, tags: [] }).where(eq(books.id, 2)).returning())
  const joined = db.select().from(authors).leftJoin(books, eq(books.author, authors.id)).orderBy(asc(authors.id))
  await see(joined)
  const prepared = db
    .select()
    .from(books)
    .where(eq(books.id, text.placeholder('id')))
    .prepare('by_id')
  for (const id of [1, 2, 1, 3]) await see(prepared.execute({ id }))
  await see(db.query.authors.findMany({ with: { books: true }, orderBy: (_: never) => [] } as never))
  await see(db.execute(text`select zoned, at, day, extra, tags, prices from books order by id`).then(rows => [...rows]))
  await see(db.$count(books))
  await see(
    db.transaction(
      async tx => {
        await tx.insert(authors).values({ name: 'Cy' })
        await tx.transaction(inner => inner.insert(authors).values({ name: 'kept' }))
        await tx
          .transaction(async inner => {
            await inner.insert(authors).values({ name: 'undone' })
            inner.rollback()
          })
          .catch(() => {})
        return tx.select().from(books).orderBy(asc(books.id))
      },
      { isolationLevel: 'serializable', accessMode: 'read write' },
    ),
  )
  await db
    .transaction(async tx => {
      await tx.insert(authors).values({ name: 'never' })
      throw new Error('undone by its handler')
    })
    .catch(() => {})
  await see(db.select().from(authors).orderBy(asc(authors.id)))
  await see(codeOfDrizzle(db.insert(authors).values({ name: 'Ada' })))
  await see(codeOfDrizzle(db.transaction(tx => tx.delete(books).returning(), { accessMode: 'read only' })))
  await see(db.delete(books).returning({ id: books.id }))
  return seen
}

/** Drizzle keeps the error of the driver as the cause of its own. */
const codeOfDrizzle = async (promise: PromiseLike<unknown>) =>
  codeOf(
    Promise.resolve(promise).catch(error => {
      throw causeOf(error)
    }),
  )

const versions = [
  ['0.45', current, tables],
  ['1.0 release candidate', candidate, tablesRc],
] as const

t.test('Drizzle', async t => {
  const { pool, server } = await stand(t)
  const { client } = pool()
  await client().sql.unsafe(TABLES)
  const { host, port, user, password } = server
  const own = (t: Test) => {
    const sql = postgres({ host, port, user, password, database: 'postgres', max: 2, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }

  for (const [version, make, tables] of versions) {
    await t.test(version, async t => {
      for (const zone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Kiritimati']) {
        await t.test(`gives the same results as with a client of its own in ${zone}`, async t => {
          const before = process.env.TZ
          process.env.TZ = zone
          t.teardown(() => {
            process.env.TZ = before
          })
          const expected = await scenario(make(own(t)), tables)
          const scope = client()
          const found = await scenario(make(scope.sql), tables)
          scope.release()
          t.same(found, expected)
        })
      }
    })
  }
})

for (const [version, over] of [
  ['0.45', overDrizzle],
  ['1.0 release candidate', overDrizzleRc],
] as const) {
  t.test(`Drizzle ${version} keeps the promises of the client`, t => keepsPromises(t, over))
}
