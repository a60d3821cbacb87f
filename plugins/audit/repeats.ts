// Aggregation of rows of requests without a verified actor, which any client can cause: the first row of each kind, result and
// source (an address or a database) in a window is written as it is, the others are counted and become one row at the window's
// end. Invariant: memory and rows of a window are bounded: sources beyond the bound share one count for each kind and result.

import { later } from '../../timing/timers.js'
import { subscriberAddress } from '../client-address.js'
import { type AuditRecord, plainText } from './rows.js'

export interface RepeatsOptions {
  readonly write: (record: AuditRecord) => void
  readonly onError: (error: unknown) => void
  /** Milliseconds of a window. Default a minute. */
  readonly windowMs?: number
  /** Sources with a count of their own in a window. Default 1,000. */
  readonly sources?: number
}

export interface Repeats {
  /** Writes a record, or counts it. */
  add(record: AuditRecord): void
  /** Ends the window: writes the counts. */
  flush(): void
}

type Source = { readonly address: string | null } | { readonly database: string } | { readonly sources: 'others' }

interface Count {
  readonly kind: AuditRecord['kind']
  readonly result: string
  readonly source: Source
  /** Without the row that was written. */
  count: number
  from: Date | null
  to: Date | null
  /** The first of them. */
  readonly tenants: Set<string>
}

/** Tenants named in a row, and of how many characters: a row's detail is bounded. */
const MOST_TENANTS = 10
const LONGEST_TENANT = 64

const OTHERS: Source = { sources: 'others' }

export function createRepeats(options: RepeatsOptions): Repeats {
  const { write, onError, windowMs = 60_000, sources = 1_000 } = options
  const counts = new Map<string, Count>()
  let known = 0
  let stop: (() => void) | undefined

  const keyOf = ({ kind, result }: AuditRecord, source: Source): string =>
    JSON.stringify([kind, plainText(result), source])

  function begin({ kind, result }: AuditRecord, source: Source, key: string): Count {
    const begun: Count = {
      kind,
      result: plainText(result),
      source,
      count: 0,
      from: null,
      to: null,
      tenants: new Set(),
    }
    counts.set(key, begun)
    stop ??= later(windowMs, flush, onError)
    return begun
  }

  function flush(): void {
    stop?.()
    stop = undefined
    const ended = [...counts.values()]
    counts.clear()
    known = 0
    for (const one of ended) if (one.count > 0) write(rowOf(one))
  }

  return {
    add(record) {
      const source = sourceOf(record)
      const key = keyOf(record, source)
      const own = counts.get(key)
      if (own) return count(own, record)
      if (known < sources) {
        known++
        begin(record, source, key)
        return write(record)
      }
      const shared = keyOf(record, OTHERS)
      count(counts.get(shared) ?? begin(record, OTHERS, shared), record)
    },
    flush,
  }
}

function count(one: Count, { tenantId, at = new Date() }: AuditRecord): void {
  one.count++
  one.from ??= at
  one.to = at
  if (tenantId && one.tenants.size < MOST_TENANTS) one.tenants.add(plainText(tenantId).slice(0, LONGEST_TENANT))
}

function rowOf({ kind, result, source, count, from, to, tenants }: Count): AuditRecord {
  const [tenantId = null] = tenants.size === 1 ? tenants : []
  const named = tenants.size > 1 && { tenants: [...tenants] }
  return { kind, result, tenantId, detail: { ...source, count, from, to, ...named } }
}

function sourceOf({ detail }: AuditRecord): Source {
  const { database, address } = detail ?? {}
  if (typeof database === 'string') return { database: plainText(database) }
  return { address: typeof address === 'string' ? plainText(subscriberAddress(address)) : null }
}
