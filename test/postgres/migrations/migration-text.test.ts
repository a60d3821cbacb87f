// Texts of migrations that are refused before they run, and similar texts that are accepted.
import t from 'tap'
import { flawIn } from '../../../postgres/migrations/migration-text.js'

t.test('a migration is refused, with its line, that', async t => {
  const refused: readonly (readonly [text: string, what: string, line: number])[] = [
    ['begin;\ncreate table a ();\ncommit;', 'BEGIN', 1],
    ['create table a ();\n  CoMmIt ;create table b ()', 'COMMIT', 2],
    ['create table a (); /* a /* nested */ comment */ -- and\n rollback', 'ROLLBACK', 2],
    ['create table a ();\nrollback and chain;', 'ROLLBACK', 2],
    ['start/**/transaction isolation level serializable', 'START TRANSACTION', 1],
    ["select '--';\nend work;", 'END', 2],
    ['select $$;$$; abort', 'ABORT', 1],
    ["prepare  transaction 'x'", 'PREPARE TRANSACTION', 1],
    ["select 'it''s', E'\\';', $a$ $$ $a$, \"a\"\";\", U&\"\\0041\";\ncommit", 'COMMIT', 2],
    ['create function f() returns int begin atomic select case when true then 1 end; end; commit', 'COMMIT', 1],
    ['create unique index concurrently a on b (c)', 'CREATE UNIQUE INDEX CONCURRENTLY', 1],
    ['create index\n concurrently on b (c)', 'CREATE INDEX CONCURRENTLY', 1],
    ['drop index concurrently a', 'DROP INDEX CONCURRENTLY', 1],
    ['reindex (verbose) table concurrently a', 'REINDEX VERBOSE', 1],
    ['alter table a detach partition b concurrently', 'ALTER TABLE', 1],
    ['vacuum analyze a', 'VACUUM', 1],
    ['create database x', 'CREATE DATABASE', 1],
    ["alter system set work_mem = '1GB'", 'ALTER SYSTEM', 1],
    ['copy a (b) from stdin;\n1\n\\.\n', 'COPY A', 1],
    ['copy (select 1) to stdout', 'COPY SELECT', 1],
    ['create table a ();\n\\connect other', '\\connect', 2],
    ["\\copy a from 'b'", '\\copy', 1],
    ['\\restrict abc\ncreate table a ();', '\\restrict', 1],
    ["alter database tenant_acme_core set timezone = 'UTC'", 'ALTER DATABASE', 1],
    ['revoke connect on database x from public', 'REVOKE CONNECT ON', 1],
  ]
  for (const [text, what, line] of refused) {
    await t.test(`says ${JSON.stringify(text)}`, async t => t.match(flawIn(text), { what, line, cure: /: / }))
  }
})

t.test('a migration is accepted that', async t => {
  const harmless = [
    'select \'commit;\', "commit", $$ commit; $$, $x$ begin; $x$ -- commit\n/* ; commit; */',
    "do $$ begin execute format('alter database %I set timezone = %L', current_database(), 'UTC'); end $$",
    'create function f() returns int begin atomic select 1; select case when true then 2 end; end; select 1',
    'create procedure p() language plpgsql as $$ begin commit; end $$',
    'savepoint a; create table b (); rollback to savepoint a; release a',
    'create table "commit" ("end" int, begin_at date, a$b int); select 1.5e3, a[1:2] from b',
    "select E'\\\\', 'back\\slash', E'a\\'; commit; '",
    'prepare x as select 1; execute x; deallocate x',
    "copy a from '/dev/null'; refresh materialized view concurrently m; reindex table a",
    '',
    ';;',
  ]
  for (const text of harmless) await t.test(`says ${JSON.stringify(text)}`, async t => t.equal(flawIn(text), null))
})

t.test('a text is checked in time proportional to its length', async t => {
  for (const piece of [
    "'",
    '"',
    '/*',
    '$a$',
    '(',
    'begin atomic ',
    "e'\\",
    '--',
    "''",
    'copy a ',
    'reindex a ',
    'copy a;',
  ]) {
    t.doesNotThrow(() => flawIn(piece.repeat(500_000)), piece)
  }
})
