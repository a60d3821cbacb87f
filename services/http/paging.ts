// The paging cursor: the key of a page's last item, opaque to clients and checked when it comes back.
// Invariant: a cursor that was made up is a 400 and never reaches SQL unchecked. Also the bound of a page in bytes.
import { createError } from '@fastify/error'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'
import type { Page } from './schemas.js'

type Cursor<Row> = { cursor(rows: number, each: (rows: Row[]) => unknown): PromiseLike<unknown> }

export const CursorInvalid = createError(
  'CURSOR_INVALID',
  'The cursor in `after` is not one of this list: start again without `after`.',
  400,
)

export const DEFAULT_LIMIT = 50

/** Of a page, without the row that exceeds it: the time and memory of an answer do not depend on the size of rows. */
const PAGE_BYTES = 1024 * 1024
/** Rows that are read at a time. */
const BATCH = 32

/** Counts the rows of a page. @returns whether a row has its place there; the first always has */
export function pageOfBytes(): (row: object) => boolean {
  let bytes = 0
  let rows = 0
  return row => {
    bytes += Buffer.byteLength(JSON.stringify(row))
    return rows++ === 0 || bytes <= PAGE_BYTES
  }
}

/** Reads about 1 MB of a query’s rows. @returns whether these are all of them */
export async function readPage<Row extends object>(
  { CLOSE }: Pick<SqlClient, 'CLOSE'>,
  query: Cursor<Row>,
): Promise<{ rows: Row[]; whole: boolean }> {
  const fits = pageOfBytes()
  const page: Row[] = []
  let whole = true
  await query.cursor(BATCH, rows => {
    for (const row of rows) {
      if (!fits(row)) {
        whole = false
        return CLOSE
      }
      page.push(row)
    }
    return undefined
  })
  return { rows: page, whole }
}

/** The allowed form of one part of a key. */
export type KeyPart = RegExp

export const anyText: KeyPart = /^[^\0]{0,500}$/
export const isUuid: KeyPart = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
export const isDay: KeyPart = /^[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/

/** `['2024-05-01', '…']` as base64url. */
export function encodeCursor(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}

/**
 * The key in a cursor, or null without one.
 * @throws CURSOR_INVALID when it does not have exactly these parts
 */
export function decodeCursor(after: string | undefined, parts: readonly KeyPart[]): string[] | null {
  if (after === undefined) return null
  const key = parse(Buffer.from(after, 'base64url').toString('utf8'))
  const fits =
    Array.isArray(key) &&
    key.length === parts.length &&
    parts.every((part, index) => typeof key[index] === 'string' && part.test(key[index]))
  if (!fits) throw new CursorInvalid()
  return key
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CursorInvalid()
  }
}

/** Cuts a list that was read with one item more than asked for: that item means that there is a next page. */
export function paged<Item>(
  rows: readonly Item[],
  limit: number,
  keyOf: (item: Item) => readonly string[],
): Page<Item> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null }
}
