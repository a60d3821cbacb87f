// Row 50 of the attack table: the audit log in the hands of roles that may write into it, of roles with more rights,
// and of an owner of the database who knows how rows are hashed. Each change is made, and the result of verify() is
// asserted.
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { readRows, verify } from '../../operations/audit/verify-log.js'
import audit, { type Head } from '../../plugins/audit/index.js'
import { type AuditRow, hashOf } from '../../plugins/audit/rows.js'
import { monthOf } from '../../plugins/audit/store.js'
import { rig } from '../rig.js'
import { until } from '../until.js'

const ROWS = 40
const AT = 20

t.test('row 50: tampering with the audit log', async t => {
  const { app: build, look } = await rig(t, ['employee'])
  const audited = (app: FastifyInstance) => void app.register(audit)
  const app = await build('employee', {}, audited)
  const central = look('employee', 'employee_central')
  const idle = (app: FastifyInstance) => until('written', () => app.audit.status().waiting === 0)
  for (let n = 2; n <= ROWS; n++) {
    app.audit.record({
      kind: 'access',
      result: 'ok',
      tenantId: 'acme',
      actor: 'ada',
      requestId: `r${n}`,
      detail: { n },
    })
  }
  await idle(app)
  const other = await build('employee', {}, audited)
  other.audit.record({ kind: 'access', result: 'ok', tenantId: 'globex' })
  await other.close()

  const month = monthOf(new Date()).toISOString().slice(0, 10)
  const rows: AuditRow[] = []
  for await (const row of readRows(app.central)) rows.push(row)
  const chain = rows.find(({ requestId }) => requestId)?.chain as string
  const theirs = rows.find(row => row.chain !== chain)?.chain as string
  const mine = rows.filter(row => row.chain === chain)
  const rowAt = (seq: number) => mine[seq - 1] as AuditRow
  const headOf = ({ chain, seq, hash }: AuditRow): Head => ({ month, chain, seq, hash })
  /** Read from the database before the first change. */
  const heads = [rowAt(ROWS), rows.findLast(row => row.chain === theirs) as AuditRow].map(headOf)
  t.equal(mine.length, ROWS)
  t.match(await verify(app.central, heads), { flaws: [], chains: 2, open: [chain] })

  await t.test('as the role that writes it, or the service’s own, nothing is changed', async t => {
    const statements = [
      `update audit_log set actor = 'eve'`,
      'update audit_log set seq = seq + 1',
      'delete from audit_log',
      `delete from audit_log where at > now() - interval '1 day'`,
      'truncate audit_log',
      `truncate audit_log_${month.slice(0, 7).replace('-', '_')}`,
      `insert into audit_log select chain, seq, at, 'x', result, tenant_id, actor, request_id, detail, hash from audit_log
       on conflict (chain, seq, at) do update set kind = excluded.kind`,
    ]
    const ofTheWriter = [
      'select * from audit_log',
      'copy audit_log to stdout',
      'drop table audit_log',
      'alter table audit_log disable trigger all',
      'delete from audit_heads',
      `insert into audit_heads (month, chain, seq, hash) values (now(), '${chain}', 1, 'x')`,
      `insert into audit_inbox (kind, tenant_id, detail) values ('tenant', 'acme', '{}')`,
      'delete from audit_inbox',
      'select * from tenants',
      'create table mine (a int)',
      'reset role; set role postgres',
    ]
    for (const role of ['employee_service_audit', 'employee_service']) {
      for (const statement of role.endsWith('_audit') ? [...statements, ...ofTheWriter] : statements) {
        const code = await app.central
          .begin(async sql => {
            await sql.unsafe(`set local role ${role}`)
            await sql.unsafe(statement)
          })
          .then(
            () => 'done',
            error => error.code,
          )
        t.equal(code, '42501', `${role}: ${statement}`)
      }
    }
    t.match(await verify(app.central, heads), { flaws: [] })
  })

  /** By the owner of the database: no trigger stops these. */
  const tamper = (change: () => Promise<unknown>) =>
    central
      .begin(async () => {})
      .then(async () => {
        await central`set session_replication_role = replica`
        await change()
        await central`set session_replication_role = origin`
      })
  await central`create table saved as select * from audit_log`
  const restore = () =>
    tamper(async () => {
      await central`delete from audit_log`
      await central`insert into audit_log select * from saved`
    })
  const set = (what: string, where = `seq = ${AT}`) =>
    central.unsafe(`update audit_log set ${what} where chain = '${chain}' and ${where}`)
  const remove = (where: string) => central.unsafe(`delete from audit_log where chain = '${chain}' and ${where}`)
  /** Rewrites the rows from `seq` on, each with a right hash: not detectable from the rows alone. */
  const rehash = async (seq: number, change: (row: AuditRow) => AuditRow) => {
    let previous = rowAt(seq - 1).hash
    for (const row of mine.slice(seq - 1)) {
      const changed = row.seq === seq ? change(row) : row
      const hash = hashOf(changed, previous)
      await central`update audit_log set actor = ${changed.actor}, hash = ${hash} where chain = ${chain} and seq = ${row.seq}`
      previous = hash
    }
    return previous
  }

  type Case = [what: string, flaw: string, seq: number, change: () => Promise<unknown>]
  const cases: Case[] = [
    ['the kind', 'changed', AT, () => set(`kind = 'refused'`)],
    ['the result', 'changed', AT, () => set(`result = '42501'`)],
    ['the tenant', 'changed', AT, () => set(`tenant_id = 'globex'`)],
    ['the tenant, removed', 'changed', AT, () => set('tenant_id = null')],
    ['the actor', 'changed', AT, () => set(`actor = 'eve'`)],
    ['the actor, removed', 'changed', AT, () => set('actor = null')],
    ['an empty name for no actor', 'changed', 1, () => set(`actor = ''`, 'seq = 1')],
    ['the request', 'changed', AT, () => set(`request_id = 'r0'`)],
    ['a number in the detail', 'changed', AT, () => set(`detail = '{"n":99}'`)],
    ['a blank in the detail', 'changed', AT, () => set(`detail = '{"n": ${AT}}'`)],
    ['a key written twice', 'changed', AT, () => set(`detail = '{"n":${AT},"n":${AT}}'`)],
    ['a letter moved to the next column', 'changed', AT, () => set(`kind = 'acces', result = 'sok'`)],
    ['the hour', 'changed', AT, () => set(`at = at + interval '1 hour'`)],
    ['a millisecond', 'changed', AT, () => set(`at = at + interval '1 millisecond'`)],
    ['a microsecond', 'changed', AT, () => set(`at = at + interval '1 microsecond'`)],
    ['the hash', 'changed', AT, () => set(`hash = repeat('0', 64)`)],
    ['the hash, in upper case', 'changed', AT, () => set('hash = upper(hash)')],
    ['the first row', 'changed', 1, () => set(`actor = 'eve'`, 'seq = 1')],
    ['the last row', 'changed', ROWS, () => set(`actor = 'eve'`, `seq = ${ROWS}`)],
    ['every row', 'changed', 1, () => set(`actor = 'eve'`, 'true')],
    [
      'two rows, exchanged',
      'changed',
      AT,
      () => set(`request_id = case seq when ${AT} then 'r${AT + 1}' else 'r${AT}' end`, `seq in (${AT}, ${AT + 1})`),
    ],
    [
      'two places, exchanged',
      'changed',
      AT,
      () => set(`seq = ${2 * AT + 1} - seq, at = at + interval '0.5 ms'`, `seq in (${AT}, ${AT + 1})`),
    ],
    ['a row removed', 'missing', AT + 1, () => remove(`seq = ${AT}`)],
    ['two removed', 'missing', AT + 2, () => remove(`seq in (${AT}, ${AT + 1})`)],
    ['every second one', 'missing', 3, () => remove('seq % 2 = 0')],
    ['the first', 'missing', 2, () => remove('seq = 1')],
    ['all but the last', 'missing', ROWS, () => remove(`seq < ${ROWS}`)],
    ['a row moved far behind', 'missing', AT + 1, () => set('seq = 1000')],
    ['a row moved to another’s chain', 'missing', AT + 1, () => set(`chain = '${theirs}', seq = 1000`)],
    [
      'a row put in twice',
      'repeated',
      AT,
      () => central`
      insert into audit_log select chain, seq, at + interval '1 second', kind, result, tenant_id, actor, request_id, detail, hash
      from audit_log where chain = ${chain} and seq = ${AT}`,
    ],
    [
      'a row put in behind the first',
      'repeated',
      1,
      () => central`
      insert into audit_log select chain, 1, at + interval '1 second', kind, result, tenant_id, 'eve', request_id, detail, hash
      from audit_log where chain = ${chain} and seq = 1`,
    ],
    ['the last cut off', 'cut', ROWS, () => remove(`seq = ${ROWS}`)],
    ['the second half cut off', 'cut', AT + 1, () => remove(`seq > ${AT}`)],
    ['all of a process', 'cut', ROWS, () => remove('true')],
    ['everything', 'cut', ROWS, () => central`delete from audit_log`],
    ['everything at once', 'cut', ROWS, () => central`truncate audit_log`],
    ['a chain renamed', 'cut', ROWS, () => set(`chain = '00000000-0000-4000-8000-000000000001'`, 'true')],
    ['one row and every hash behind it', 'rewritten', ROWS, () => rehash(AT, row => ({ ...row, actor: 'eve' }))],
    ['the last row and its hash', 'rewritten', ROWS, () => rehash(ROWS, row => ({ ...row, actor: 'eve' }))],
  ]
  for (const [what, flaw, seq, change] of cases) {
    await t.test(`${what}: ${flaw} at ${seq}`, async t => {
      await tamper(change)
      const { flaws } = await verify(app.central, heads)
      t.same(
        flaws.filter(one => one.chain === chain),
        [{ chain, seq, what: flaw }],
      )
      await restore()
    })
  }
  await t.test('with the heads in the database rewritten too, those outside still show it', async t => {
    await tamper(async () => {
      const hash = await rehash(AT, row => ({ ...row, actor: 'eve' }))
      await central`insert into audit_heads (month, chain, seq, hash) values (${month}, ${chain}, ${ROWS}, ${hash})`
    })
    t.same((await verify(app.central)).flaws, [], 'the database confirms its own contents')
    t.match((await verify(app.central, heads)).flaws, [{ chain, seq: ROWS, what: 'rewritten' }])
    await tamper(() => central`delete from audit_heads`)
    await restore()
  })
  await t.test('a month that was dropped before its time shows to a check with the number of months', async t => {
    const partition = `audit_log_${month.slice(0, 7).replace('-', '_')}`
    await central.unsafe(`alter table audit_log detach partition ${partition}`)
    t.match(
      (await verify(app.central, heads, 1)).flaws.map(({ what }) => what),
      ['cut', 'cut'],
    )
    await central.unsafe(`alter table audit_log attach partition ${partition}
      for values from ('${month}T00:00:00Z') to ('${monthOf(new Date(), 1).toISOString()}')`)
  })

  await t.test('restored, it is whole, and texts that no column holds are written all the same', async t => {
    t.same((await verify(app.central, heads)).flaws, [])
    const half = '\ud800'
    app.audit.record({ kind: 'access', result: `${half}\u0000`, actor: half, detail: { half, 'e\u0000': [half] } })
    app.audit.record({ kind: 'access', result: 'ok', actor: `${'x'.repeat(255)}\u{1f600}` })
    await idle(app)
    t.equal(app.audit.status().lastError, null)
    const seen = await central`select actor from audit_log where chain = ${chain} and seq > ${ROWS} order by seq`
    t.same(
      seen.map(({ actor }) => actor),
      ['\ufffd', `${'x'.repeat(255)}\ufffd`],
    )
    t.same((await verify(app.central, heads)).flaws, [])
  })
})
