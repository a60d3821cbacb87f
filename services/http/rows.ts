// The mapping of a request's fields to columns: by an explicit list, so that no field a schema lets through by mistake
// reaches SQL. A field that a request does not name is absent, and keeps its value in an update.

export type Columns<Fields> = Readonly<Record<keyof Fields & string, string>>
export type Row = Record<string, string | number | boolean | null>

/** `{ firstName: 'Ada' }` with `{ firstName: 'first_name' }` gives `{ first_name: 'Ada' }`, for `sql(row)`. */
export function rowOf<Fields extends object>(columns: Columns<Required<Fields>>, fields: Fields): Row {
  const row: Row = {}
  for (const [field, column] of Object.entries<string>(columns)) {
    const value = fields[field as keyof Fields]
    if (value !== undefined) row[column] = value as Row[string]
  }
  return row
}

/** `100%` as a pattern for ILIKE that finds it anywhere, literally. */
export const containing = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`
