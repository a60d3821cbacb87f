// Owns how a request's fields become columns: by an explicit list, so that no field a schema lets through by mistake
// reaches SQL. What a request does not name is absent, and stays as it is in an update.

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

/** `100%` as a pattern for ILIKE that finds it anywhere and means nothing else. */
export const containing = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`
