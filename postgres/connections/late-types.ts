// The completion of a result with values of types that its session did not know when it read them: asks for the types, then
// reads the values again. Invariant: a value is read once by its own type, or is text as the server sent it.
import type { SessionTypes } from './array-types.js'

interface Column {
  readonly name: string
  readonly type: number
}

interface Rows extends Array<Record<string, unknown> | unknown[]> {
  readonly columns?: readonly Column[]
}

interface Gap {
  readonly rows: Rows
  readonly column: Column
  readonly at: number
}

/** @param value the result of a query in the driver: one result, or several of a text with several statements */
function gapsIn(value: unknown, { unknown }: SessionTypes): Gap[] {
  const results = (Array.isArray(value) && !('columns' in value && value.columns) ? value : [value]) as Rows[]
  return results.flatMap(rows =>
    // A description has columns too, and no rows.
    Array.isArray(rows) && Array.isArray(rows.columns)
      ? rows.columns.flatMap((column: Column, at: number) => (unknown.has(column.type) ? [{ rows, column, at }] : []))
      : [],
  )
}

/**
 * Null when every type in it is known.
 * @param ask for all types that are unknown now; resolves when they are known
 */
export function completed(value: unknown, types: SessionTypes, ask: () => Promise<void>): Promise<void> | null {
  const gaps = gapsIn(value, types)
  if (gaps.length === 0) return null
  return (async () => {
    while (gaps.some(({ column }) => types.unknown.has(column.type))) await ask()
    for (const { rows, column, at } of gaps) {
      const parse = types.codecs.parsers[column.type]
      if (!parse) continue
      for (const row of rows) {
        const key = (Array.isArray(row) ? at : column.name) as keyof typeof row
        const text: unknown = row[key]
        // Raw rows are bytes.
        if (typeof text === 'string') (row as Record<string, unknown>)[key as string] = parse(text)
      }
    }
  })()
}
