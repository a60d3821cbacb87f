// The calls of Kysely that are made over a tenant's client and over `pg`.
import { type Generated, type Kysely, sql } from 'kysely'

export interface Database {
  authors: { id: Generated<number>; name: string }
  books: Record<string, unknown> & { id: Generated<string>; author: number; title: string }
}

/** As Kysely's guide writes them for `pg`: JSON as text, except lists. */
const book = {
  title: 'A “title” with \\ and {braces}',
  price: '1234567890.12',
  prices: ['1.10', '2.00', null],
  rating: 0.1,
  sold: 9_007_199_254_740_993n,
  extra: JSON.stringify({ a: [1, { b: null }], text: 'x"y', when: '2024-01-01' }),
  plain: { an: ['object'] },
  extras: [{ a: 1 }, { b: ['c,d', '"'] }],
  tags: ['a', 'b,c', '{"}', '', 'null', null],
  counts: [1, 2, 3],
  flags: [true, false],
  moods: ['calm', 'busy'],
  mood: 'busy',
  day: new Date(2024, 2, 31),
  days: [new Date(2024, 2, 31), new Date(1999, 11, 31)],
  at: new Date('2024-07-01T02:30:00.123Z'),
  ats: [new Date('2024-07-01T02:30:00.123Z'), new Date('2024-12-27T02:30:00Z')],
  zoned: new Date('2024-07-01T12:00:00.456Z'),
  zoneds: [new Date('2024-07-01T12:00:00.456Z')],
  day_text: '2024-02-29',
  zoned_text: '2024-07-01 12:00:00+02',
  clock: '23:59:59',
  lasts: null,
  cover: '5f0d1f60-6b6c-4a1f-9e0e-0d6d3c4cf9a4',
  available: true,
}

export async function scenario(db: Kysely<Database>): Promise<unknown[]> {
  const seen: unknown[] = []
  const see = async (what: PromiseLike<unknown>) => seen.push(await what)
  const code = async (what: Promise<unknown>) =>
    see(
      what.then(
        () => 'no error',
        error => error.code ?? error,
      ),
    )
  const names = (from: Pick<Kysely<Database>, 'selectFrom'>) =>
    from.selectFrom('authors').select('name').orderBy('id').execute()
  await sql`truncate authors, books restart identity`.execute(db)
  await see(
    db
      .insertInto('authors')
      .values([{ name: 'Ada' }, { name: 'Bo' }])
      .returningAll()
      .execute(),
  )
  await see(
    db
      .insertInto('books')
      .values({ author: 1, ...book })
      .returningAll()
      .execute(),
  )
  await see(db.insertInto('books').values({ author: 2, title: 'empty' }).executeTakeFirst())
  await see(db.selectFrom('books').selectAll().orderBy('id').execute())
  await see(db.selectFrom('books').select('id').where('zoned', '=', book.zoned).where('at', '=', book.at).execute())
  await see(db.selectFrom('books').select('id').where('available', '=', 'true').execute())
  await see(
    db.updateTable('books').set({ extra: '"text"', tags: [], available: false }).where('id', '=', '2').execute(),
  )
  const [first] = await db.selectFrom('books').selectAll().where('id', '=', '1').execute()
  // Read and written back, it is the same.
  const { id: _, extra, plain, ...again } = first as Record<string, unknown> & { id: string }
  await see(
    db
      .insertInto('books')
      .values(again as never)
      .returningAll()
      .execute(),
  )
  seen.push(extra, plain)
  await see(
    db
      .selectFrom('authors')
      .innerJoin('books', 'books.author', 'authors.id')
      .select(['name', 'extra', 'day'])
      .execute(),
  )
  await see(
    db
      .transaction()
      .setIsolationLevel('serializable')
      .setAccessMode('read write')
      .execute(async tx => {
        await tx.insertInto('authors').values({ name: 'Cy' }).execute()
        return sql`select current_setting('transaction_isolation') as level`.execute(tx).then(({ rows }) => rows)
      }),
  )
  await code(
    db
      .transaction()
      .setAccessMode('read only')
      .execute(tx => tx.deleteFrom('books').execute()),
  )
  await code(
    db.transaction().execute(async tx => {
      await tx.insertInto('authors').values({ name: 'never' }).execute()
      throw Object.assign(new Error('of the handler'), { code: 'MINE' })
    }),
  )
  const tx = await db.startTransaction().execute()
  await tx.insertInto('authors').values({ name: 'kept' }).execute()
  const one = await tx.savepoint('one').execute()
  await one.insertInto('authors').values({ name: 'undone' }).execute()
  await code(one.insertInto('authors').values({ name: 'Ada' }).execute())
  const back = await one.rollbackToSavepoint('one').execute()
  await back.insertInto('authors').values({ name: 'after' }).execute()
  const two = await one.savepoint('two').execute()
  await two.insertInto('authors').values({ name: 'released' }).execute()
  const released = await two.releaseSavepoint('one').execute()
  await see(names(released))
  await tx.commit().execute()
  await see(names(db))
  const undone = await db.startTransaction().setIsolationLevel('repeatable read').execute()
  await undone.deleteFrom('books').execute()
  await undone.rollback().execute()
  await see(
    db
      .selectFrom('books')
      .select(({ fn }) => fn.countAll().as('count'))
      .execute(),
  )
  const streamed: unknown[] = []
  for await (const row of db.selectFrom('authors').selectAll().orderBy('id').stream(2)) streamed.push(row)
  seen.push(streamed)
  for await (const row of db.selectFrom('authors').selectAll().orderBy('id').stream(1)) {
    seen.push(row)
    break
  }
  await code(db.insertInto('authors').values({ name: 'Ada' }).execute())
  await code(sql`select 1; select 2`.execute(db))
  const tables = await db.introspection.getTables()
  seen.push(tables.filter(({ name }) => name === 'books' || name === 'authors'))
  await see(db.deleteFrom('books').executeTakeFirst())
  return seen
}
