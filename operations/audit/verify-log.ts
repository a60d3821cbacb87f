// The verification of the audit log: walks every chain from its first row, or from the head sealed before the first month that
// is left, and names the first row that does not fit. The partitions show which month is the first, not the rows: rows missing
// from a month that is there were removed. Reads in pages: the log may be large.

import { type AuditRow, GENESIS, hashOf } from '../../plugins/audit/rows.js'
import { type Head, monthOf, oldestPartition } from '../../plugins/audit/store.js'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'

export interface Flaw {
  readonly chain: string
  readonly seq: number
  /**
   * `changed`: the row is not what its hash says. `missing`: a row before this one is gone. `repeated`: its place is taken
   * twice. `cut`: rows that a head vouches for are gone. `rewritten`: a head vouches for another row here.
   */
  readonly what: 'changed' | 'missing' | 'repeated' | 'cut' | 'rewritten'
}

export interface Verdict {
  readonly rows: number
  readonly chains: number
  /** Chains whose process has not recorded its end: it runs, was killed, or its last rows were cut off. */
  readonly open: readonly string[]
  /** The first flaw of each chain. */
  readonly flaws: readonly Flaw[]
}

const PAGE = 5_000

/**
 * @param heads kept outside the database (`audit seal`), out of reach of a forger of rows and heads together
 * @param keptMonths months beside the current one that must be there, so that a month that was dropped before its time shows
 */
export async function verify(sql: SqlClient, heads: readonly Head[] = [], keptMonths?: number): Promise<Verdict> {
  const sealed = await readHeads(sql)
  const vouched = new Map<string, Head[]>()
  for (const head of [...sealed, ...heads]) vouched.set(head.chain, [...(vouched.get(head.chain) ?? []), head])
  const oldest = await oldestMonth(sql, keptMonths)
  const flaws: Flaw[] = []
  const open: string[] = []
  let rows = 0
  let chains = 0

  /** Chains that their own process replaced by a new one, when it was unknown whether its last rows were stored. */
  const followed = new Set<string>()
  let walk: Walk | null = null
  const finish = (): void => {
    if (!walk) return
    const flaw = walk.flaw ?? walk.cutBy()
    if (flaw) flaws.push(flaw)
    else if (!walk.ended) open.push(walk.chain)
    vouched.delete(walk.chain)
    walk = null
  }

  for await (const row of readRows(sql)) {
    rows++
    if (walk?.chain !== row.chain) {
      finish()
      chains++
      walk = startWalk(row, vouched.get(row.chain) ?? [], oldest)
    }
    walk.step(row)
    const before = followedBy(row)
    if (before) followed.add(before)
  }
  finish()
  // Whole chains that a head of a month that is still here vouches for, and that are gone.
  for (const [chain, seals] of vouched) {
    const last = seals.filter(({ month }) => month >= oldest).sort((a, b) => b.seq - a.seq)[0]
    if (last) flaws.push({ chain, seq: last.seq, what: 'cut' })
  }
  return { rows, chains, open: open.filter(chain => !followed.has(chain)), flaws }
}

/** The first month whose rows must be there, with those of every later month. */
async function oldestMonth(sql: SqlClient, keptMonths: number | undefined): Promise<string> {
  const there = await oldestPartition(sql)
  if (there !== null && keptMonths === undefined) return there
  const promised = monthOf(new Date(), -(keptMonths ?? 0))
    .toISOString()
    .slice(0, 10)
  return there !== null && there < promised ? there : promised
}

interface Walk {
  readonly chain: string
  readonly ended: boolean
  readonly flaw: Flaw | null
  step(row: AuditRow): void
  /** Called after the last row: a head that lies beyond it. */
  cutBy(): Flaw | null
}

function startWalk(first: AuditRow, heads: readonly Head[], oldestMonth: string): Walk {
  const { chain } = first
  const before = heads.filter(({ month }) => month < oldestMonth).sort((a, b) => b.seq - a.seq)[0]
  const pinned = new Map(heads.map(head => [head.seq, head]))
  let at = before ? { seq: before.seq, hash: before.hash } : { seq: 0, hash: GENESIS }
  let flaw: Flaw | null = null
  let ended = false

  return {
    chain,
    get ended() {
      return ended
    },
    get flaw() {
      return flaw
    },
    step(row) {
      if (flaw) return
      const what = wrongWith(row, at, pinned.get(row.seq))
      if (what) flaw = { chain, seq: row.seq, what }
      at = { seq: row.seq, hash: row.hash }
      ended = row.kind === 'process' && row.result === 'ended'
    },
    cutBy() {
      const beyond = heads.find(head => head.seq > at.seq)
      return beyond ? { chain, seq: at.seq + 1, what: 'cut' } : null
    },
  }
}

function wrongWith(row: AuditRow, before: { seq: number; hash: string }, head: Head | undefined): Flaw['what'] | null {
  if (row.seq <= before.seq) return 'repeated'
  if (row.seq > before.seq + 1) return 'missing'
  if (hashOf(row, before.hash) !== row.hash) return 'changed'
  return head && head.hash !== row.hash ? 'rewritten' : null
}

function followedBy(row: AuditRow): string | null {
  if (row.kind !== 'process' || row.result !== 'started') return null
  const { follows } = JSON.parse(row.detail) as { follows?: string }
  return follows ?? null
}

/** The heads that this database holds itself. */
export async function readHeads(sql: SqlClient): Promise<Head[]> {
  const rows = await sql<(Omit<Head, 'seq'> & { seq: string })[]>`
    select to_char(month, 'YYYY-MM-DD') as month, chain, seq, hash from audit_heads`
  return rows.map(row => ({ ...row, seq: Number(row.seq) }))
}

type Raw = Omit<AuditRow, 'seq'> & { seq: string }

/** All rows, by chain and place. */
export async function* readRows(sql: SqlClient): AsyncGenerator<AuditRow> {
  let after = { chain: '00000000-0000-0000-0000-000000000000', seq: '0', at: '0001-01-01T00:00:00Z' }
  for (;;) {
    const page: Raw[] = await sql<Raw[]>`
      select chain, seq, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, kind, result,
        tenant_id as "tenantId", actor, request_id as "requestId", detail::text as detail, hash
      from audit_log where (chain, seq, at) > (${after.chain}, ${after.seq}, ${after.at}::timestamptz)
      order by chain, seq, audit_log.at limit ${PAGE}`
    // Rows are written with milliseconds. Any other precision must not be taken for them.
    for (const row of page) yield { ...row, seq: Number(row.seq), at: row.at.replace(/000Z$/, 'Z') }
    const last = page.at(-1)
    if (!last || page.length < PAGE) return
    after = { chain: last.chain, seq: last.seq, at: last.at }
  }
}
