// Rows as lines, with any names of columns and of any size; cells that a spreadsheet would run; names of secrets;
// definitions without commands of psql.
import t from 'tap'
import { type Cells, copyRows, headOf, tablesOf } from '../../../operations/archive/export-rows.js'
import { withoutRestriction } from '../../../operations/archive/plain-sql.js'
import { namesSecret } from '../../../operations/archive/secret-names.js'
import { rig } from '../../rig.js'

t.test('rows of a table', async t => {
  const { tenancy } = await rig(t, ['core'])
  const { transfer } = await tenancy('core')
  const sql = transfer.central
  const lines = (table: string, format: 'jsonl' | 'csv', cells: Cells = 'guarded') =>
    sql.begin(async tx => {
      const found = (await tablesOf(tx)).find(one => one.relation === table)
      if (!found) throw new Error(table)
      const chunks: Buffer[] = []
      const rows = await copyRows(tx, found, { format, cells }, async chunk => void chunks.push(Buffer.from(chunk)))
      return { rows, text: Buffer.concat(chunks).toString(), head: headOf(found.columns, cells), chunks }
    })

  await t.test('are whole, whatever the names of their columns', async t => {
    for (const name of ['r', 't', 'line', 'place', 'whole', 'at', 'row', 'lines', 'piece', 'to_json']) {
      await sql.unsafe(`create table named (id int, "${name}" int, note text); insert into named values (1, 5, 'good')`)
      t.same(JSON.parse((await lines('named', 'jsonl')).text), { id: 1, [name]: 5, note: 'good' }, name)
      t.equal((await lines('named', 'csv')).text, '"1","5","good"\r\n', name)
      await sql`drop table named`
    }
  })

  await t.test('are complete when the table has no columns', async t => {
    await sql.unsafe('create table bare (); insert into bare default values; insert into bare default values')
    t.equal((await lines('bare', 'jsonl')).text, '{}\n{}\n')
    t.equal((await lines('bare', 'csv')).text, '\r\n\r\n')
  })

  await t.test('come in pieces that are small however large the rows are, in their order', async t => {
    await sql.unsafe(`create table large (id int, doc text);
      insert into large select g, case when g % 400 = 0 then repeat('ü"', 1500000) else 'small' end from generate_series(1, 1200) g`)
    const { rows, text, chunks } = await lines('large', 'jsonl')
    t.equal(rows, 1200)
    const all = text
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { id: number; doc: string })
    t.same(
      all.map(({ id }) => id),
      Array.from({ length: 1200 }, (_, at) => at + 1),
    )
    t.ok(all.every(({ id, doc }) => doc === (id % 400 === 0 ? 'ü"'.repeat(1_500_000) : 'small')))
    t.ok(Math.max(...chunks.map(({ length }) => length)) <= 8 << 20)
    const csv = await lines('large', 'csv')
    t.equal(csv.text.split('\r\n').length, 1201)
    await sql`drop table large`
  })

  await t.test('of CSV are guarded where a spreadsheet would run a cell, and exact when asked', async t => {
    const cells = [
      '=1+1',
      '+1',
      '-1',
      '@a',
      '\t=1',
      '\r=1',
      '\n=1',
      '\uff1d1',
      "'=1",
      "''-1",
      'a=1',
      "it's",
      '',
      "'",
      ' =1',
    ]
    await sql.unsafe('create table cells (at int, n int, "=head" text, j jsonb)')
    for (const [at, cell] of cells.entries()) await sql`insert into cells values (${at}, -5, ${cell}, '-1')`
    const { text, head } = await lines('cells', 'csv')
    t.equal(head, `"at","n","'=head","j"\r\n`)
    const got = [...text.matchAll(/"\d+","-5","((?:[^"]|"")*)","'-1"\r\n/g)].map(([, cell]) => cell)
    t.same(
      got,
      cells.map((cell, at) => (at < 10 ? `'${cell}` : cell)),
    )
    const exact = await lines('cells', 'csv', 'exact')
    t.equal(exact.head, '"at","n","=head","j"\r\n')
    t.same(
      [...exact.text.matchAll(/"\d+","-5","((?:[^"]|"")*)","-1"\r\n/g)].map(([, cell]) => cell),
      cells,
    )
  })
})

t.test('a column is a secret by its name in any spelling', async t => {
  const secrets = `password_hash passwordHash accessToken PasswordHash SecurityStamp apikey pwd tokens twoFactorSecret
    recovery_codes recoveryCodes hashed_password credentials refreshtoken sessionToken passcode secrets webauthn_credentials totp_secret
    encrypted_password API_KEY apiKeys private_keys OTP otpSecret userPIN password2 oauth2_token salt jwt PASSWD backup_codes`
  for (const name of secrets.split(/\s+/)) t.ok(namesSecret(name), name)
  const others =
    'id name passport_number secretary_name shopping_cart spinner basalt compass key keyboard hash country_code stamp r'
  for (const name of others.split(' ')) t.notOk(namesSecret(name), name)
})

t.test('definitions are SQL alone', async t => {
  const dump =
    '--\n-- PostgreSQL database dump\n--\n\n\\restrict Abc1\n\nSET x = 0;\n\n--\n-- complete\n--\n\n\\unrestrict Abc1\n\n'
  t.equal(withoutRestriction(dump), '--\n-- PostgreSQL database dump\n--\n\nSET x = 0;\n\n--\n-- complete\n--\n')
  const body = '--\n\nCREATE FUNCTION f() AS $$\n\\restrict a\n$$;\n'
  t.equal(withoutRestriction(body), body)
})
