// Tables with the types that an ORM and its driver must agree on, for either version of Drizzle.
import * as core from 'drizzle-orm/pg-core'
import * as coreRc from 'drizzle-orm-rc/pg-core'

/** As SQL, for the database. */
export const TABLES = `
  create type mood as enum ('calm', 'busy');
  create table authors (id int primary key generated always as identity, name varchar(50) not null unique);
  create table books (
    id bigint primary key generated always as identity,
    author int not null references authors,
    title text not null,
    price numeric(12, 2),
    prices numeric(12, 2)[],
    rating double precision,
    sold bigint,
    extra jsonb,
    plain json,
    extras jsonb[],
    tags text[],
    counts int[],
    flags boolean[],
    moods mood[],
    mood mood,
    day date,
    days date[],
    at timestamp,
    ats timestamp[],
    zoned timestamptz,
    zoneds timestamptz[],
    day_text date,
    zoned_text timestamptz,
    clock time,
    lasts interval,
    cover uuid,
    available boolean
  )`

function tablesOf({
  bigint,
  bigint: big,
  boolean,
  date,
  doublePrecision,
  integer,
  interval,
  json,
  jsonb,
  numeric,
  pgEnum,
  pgTable,
  text,
  time,
  timestamp,
  uuid,
  varchar,
}: typeof core) {
  const mood = pgEnum('mood', ['calm', 'busy'])
  const authors = pgTable('authors', {
    id: integer().primaryKey().generatedAlwaysAsIdentity(),
    name: varchar({ length: 50 }).notNull(),
  })
  const books = pgTable('books', {
    id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    author: integer().notNull(),
    title: text().notNull(),
    price: numeric({ precision: 12, scale: 2 }),
    prices: numeric({ precision: 12, scale: 2 }).array(),
    rating: doublePrecision(),
    sold: big({ mode: 'bigint' }),
    extra: jsonb(),
    plain: json(),
    extras: jsonb().array(),
    tags: text().array(),
    counts: integer().array(),
    flags: boolean().array(),
    moods: mood().array(),
    mood: mood(),
    day: date({ mode: 'date' }),
    days: date({ mode: 'date' }).array(),
    at: timestamp({ mode: 'date' }),
    ats: timestamp({ mode: 'date' }).array(),
    zoned: timestamp({ mode: 'date', withTimezone: true }),
    zoneds: timestamp({ mode: 'date', withTimezone: true }).array(),
    dayText: date('day_text', { mode: 'string' }),
    zonedText: timestamp('zoned_text', { mode: 'string', withTimezone: true }),
    clock: time(),
    lasts: interval(),
    cover: uuid(),
    available: boolean(),
  })
  return { mood, authors, books }
}

export const tables = tablesOf(core)
/** The release candidate offers the same, under types of its own. */
export const tablesRc = tablesOf(coreRc as unknown as typeof core)
