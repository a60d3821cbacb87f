#!/usr/bin/env bash
# @electric-sql/pglite 0.5.16: a bigint is read as a number or as a BigInt, by its value
#
# Version:   @electric-sql/pglite 0.5.16 (npm)
# Guess:     a column has one type in JavaScript: text as in `pg` and `postgres`, or BigInt, or a number that loses digits.
# Seen:      up to 2^53 - 1 the value is a number, from 2^53 on it is a BigInt, also within one column: `id + 1` is a TypeError for some rows, and
#            JSON.stringify of the rows is one too.
# Matters:   tests on PGlite pass with numbers where the service has texts, and one large id makes an answer a 500. This package's tests of
#            services run on a server (docs/testing.md).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @electric-sql/pglite@0.5.16 2> /dev/null
cat > look.mjs <<'JS'
import { PGlite } from '@electric-sql/pglite'

const db = await PGlite.create()
await db.exec('create table accounts (id bigint); insert into accounts values (9007199254740991), (9007199254740992)')
const { rows } = await db.query('select id from accounts order by id')
for (const { id } of rows) console.log(`${id}: ${typeof id}`)
const attempt = work => {
  try {
    work()
    return 'works'
  } catch (error) {
    return error.name
  }
}
console.log(`id + 1: ${rows.map(({ id }) => attempt(() => id + 1)).join(', ')}; JSON: ${rows.map(row => attempt(() => JSON.stringify(row))).join(', ')}`)
await db.close()
JS
seen=$(node look.mjs)
echo "$seen"
[ "$seen" = '9007199254740991: number
9007199254740992: bigint
id + 1: works, TypeError; JSON: works, TypeError' ]
