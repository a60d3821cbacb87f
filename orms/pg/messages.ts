// The driver's results and errors as the messages that `pg` makes its own results and errors of. Pure.
import type { DatabaseError as DatabaseErrorType } from 'pg'
import { pg } from './library.js'

/** A result with rows of bytes (`raw()`). */
export interface RawResult extends Array<readonly (Buffer | null)[]> {
  readonly command: string | null
  readonly count: number | null
  readonly columns: readonly Column[] | null
}

interface Column {
  readonly name: string
  readonly type: number
  readonly table: number
  readonly number: number
}

/**
 * `dataTypeSize` and `dataTypeModifier` are -1, "not known": the driver does not keep them.
 */
export function fieldsOf(columns: readonly Column[]) {
  return columns.map(({ name, type, table, number }) => ({
    name,
    tableID: table,
    columnID: number,
    dataTypeID: type,
    dataTypeSize: -1,
    dataTypeModifier: -1,
    format: 'text',
  }))
}

/** The values of a row as the server sent them. */
export function textsOf(row: readonly (Buffer | null)[]): (string | null)[] {
  const texts = new Array<string | null>(row.length)
  for (let at = 0; at < row.length; at++) texts[at] = (row[at] as Buffer | null)?.toString() ?? null
  return texts
}

/** The tag of the server's CommandComplete. */
export function tagOf({ command, count }: Pick<RawResult, 'command' | 'count'>): string {
  if (count === null) return `${command}`
  return command === 'INSERT' ? `INSERT 0 ${count}` : `${command} ${count}`
}

/** `pg`'s names of the server's fields, where the driver's are others. */
const renamed = {
  severity_local: 'severity',
  code: 'code',
  detail: 'detail',
  hint: 'hint',
  position: 'position',
  internal_position: 'internalPosition',
  internal_query: 'internalQuery',
  where: 'where',
  schema_name: 'schema',
  table_name: 'table',
  column_name: 'column',
  'data type_name': 'dataType',
  constraint_name: 'constraint',
  file: 'file',
  line: 'line',
  routine: 'routine',
} as const

/** An error of the server's as `pg` has it; any other as it is, with its code. */
export function errorOf(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'PostgresError') return error
  const found: DatabaseErrorType = new pg.DatabaseError(error.message, error.message.length, 'error')
  for (const [theirs, ours] of Object.entries(renamed)) {
    const value = (error as unknown as Record<string, string | undefined>)[theirs]
    if (value !== undefined) found[ours] = value
  }
  return found
}
