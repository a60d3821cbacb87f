// The shape of an audit row, and the chain: each row holds the hash of the one before it in its process's chain.
// Pure. Invariant: the hash covers every column, by a text that can be read in one way only.
import { hash, randomUUID } from 'node:crypto'

/** What happened, before it has a place in a chain. */
export interface AuditRecord {
  /** `access`: a request had a connection to a tenant. `refused`: it did not get that far. Others: see docs/audit.md. */
  readonly kind: 'access' | 'refused' | 'tenant' | 'admin' | 'connection' | 'gap' | 'process'
  /** `access`: a request had a connection to a tenant. `refused`: it did not get that far. Others: see docs/audit.md. */
  readonly result: string
  readonly tenantId?: string | null
  /** The actor: a user's id, `admin`, a role of the database. */
  readonly actor?: string | null
  readonly requestId?: string | null
  readonly detail?: Readonly<Record<string, unknown>>
  /** Default: now. */
  readonly at?: Date
}

/** A row as it is stored. `detail` is the JSON text itself. */
export interface AuditRow {
  readonly chain: string
  readonly seq: number
  /** ISO 8601, milliseconds. */
  readonly at: string
  readonly kind: string
  readonly result: string
  readonly tenantId: string | null
  readonly actor: string | null
  readonly requestId: string | null
  readonly detail: string
  readonly hash: string
}

/** A chain's first row follows this. */
export const GENESIS = '0'.repeat(64)

/** Each part with its length before it, so that no two rows have one text; null and the empty text differ. */
const part = (value: string | null): string => (value === null ? '-' : `${Buffer.byteLength(value)}:${value}`)

/** Parts of columns that have few values, so that their length is not counted for each row (0.8 of 1.5 us of a row's hash). */
const parts = new Map<string, string>()
const MOST_PARTS = 2_000

function repeatedPart(value: string | null): string {
  if (value === null) return '-'
  let known = parts.get(value)
  if (known === undefined) {
    if (parts.size >= MOST_PARTS) parts.clear()
    known = part(value)
    parts.set(value, known)
  }
  return known
}

export function hashOf(row: Omit<AuditRow, 'hash'>, previous: string): string {
  const { chain, seq, at, kind, result, tenantId, actor, requestId, detail } = row
  // Spelled out, and hashed in one call: every access runs this, and a list of parts costs as much as the hash.
  const place =
    part(previous) +
    repeatedPart(chain) +
    part(String(seq)) +
    repeatedPart(at) +
    repeatedPart(kind) +
    repeatedPart(result)
  const who = repeatedPart(tenantId) + repeatedPart(actor) + part(requestId) + repeatedPart(detail)
  return hash('sha256', place + who, 'hex')
}

export interface Chain {
  readonly id: string
  /** Rows so far, and the hash of the last. */
  readonly head: ChainHead
  /** Gives records their place after the head, which stays where it is until {@link Chain.advance}. */
  place(records: readonly AuditRecord[]): AuditRow[]
  /** These rows are stored, or will be before any other of this chain. */
  advance(rows: readonly AuditRow[]): void
}

export interface ChainHead {
  readonly seq: number
  readonly hash: string
}

const LONGEST_TEXT = 256
const LONGEST_DETAIL = 4_096

/** Control characters, line separators, and lone surrogates, which jsonb refuses: a batch with them could never be written. */
const UNFIT = /[\p{Cc}\p{Cs}\u2028\u2029]/u
const ALL_UNFIT = new RegExp(UNFIT.source, 'gu')

const isPlain = (value: string): boolean => value.length <= LONGEST_TEXT && !UNFIT.test(value)

/** A text as it may stand in a row: short, without characters that PostgreSQL cannot store or a terminal would act on. */
export function plainText(value: string): string {
  return isPlain(value) ? value : value.slice(0, LONGEST_TEXT).replace(ALL_UNFIT, '\ufffd')
}

const textOrNull = (value: string | null | undefined): string | null =>
  value === null || value === undefined ? null : plainText(value)

/** The texts of details that many rows have in common. */
const sharedTexts = new WeakMap<object, string>()

/** A detail for many rows: its text is made once. */
export function shareDetail<T extends NonNullable<AuditRecord['detail']>>(detail: T): Readonly<T> {
  sharedTexts.set(detail, detailText(detail))
  return Object.freeze(detail)
}

function detailText(detail: AuditRecord['detail']): string {
  if (!detail) return '{}'
  const shared = sharedTexts.get(detail)
  if (shared !== undefined) return shared
  // A function for each value costs more than the rest of this, and is seldom needed.
  const text = Object.values(detail).every(isFit)
    ? JSON.stringify(detail)
    : JSON.stringify(detail, (_, value) => (typeof value === 'string' ? plainText(value) : value))
  return text.length <= LONGEST_DETAIL ? text : JSON.stringify({ omitted: `${text.length} characters of detail` })
}

const isFit = (value: unknown): boolean =>
  typeof value === 'string' ? isPlain(value) : typeof value !== 'object' || value === null

/** A chain of this process. */
export function createChain(now: () => Date = () => new Date()): Chain {
  const id = randomUUID()
  let head: ChainHead = { seq: 0, hash: GENESIS }
  let latest = { ms: Number.NaN, text: '' }

  /** Rows of one millisecond share its text. */
  function timeText(at: Date): string {
    const ms = at.getTime()
    if (ms !== latest.ms) latest = { ms, text: at.toISOString() }
    return latest.text
  }

  function placeOne(record: AuditRecord, after: ChainHead): AuditRow {
    const row = {
      chain: id,
      seq: after.seq + 1,
      at: timeText(record.at ?? now()),
      kind: plainText(record.kind),
      result: plainText(record.result),
      tenantId: textOrNull(record.tenantId),
      actor: textOrNull(record.actor),
      requestId: textOrNull(record.requestId),
      detail: detailText(record.detail),
      hash: '',
    }
    row.hash = hashOf(row, after.hash)
    return row
  }

  return {
    id,
    get head() {
      return head
    },
    place(records) {
      let after = head
      return records.map(record => {
        const row = placeOne(record, after)
        after = row
        return row
      })
    },
    advance(rows) {
      const last = rows.at(-1)
      if (last) head = { seq: last.seq, hash: last.hash }
    },
  }
}
