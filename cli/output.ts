// What a command prints: tables and lines for people on stdout, one JSON document for machines, nothing with --quiet;
// progress on stderr. What is printed never holds a password or a token: commands hand over what may be shown. People get
// no character that a terminal would act on or not show; the document is exact.
import { printable, printableLine } from './printable.js'

export { sizeOf } from '../operations/copying/byte-sizes.js'

export interface OutputOptions {
  readonly json?: boolean | undefined
  readonly quiet?: boolean | undefined
}

export type Cell = string | number | boolean | Date | null | undefined

export interface Output {
  readonly json: boolean
  /** For people only. */
  line(text: string): void
  /** As {@link Output.line}, and with every character as it is. */
  raw(text: string): void
  /** For people: a table with a head; an empty one says so. */
  table(head: readonly string[], rows: readonly (readonly Cell[])[], empty?: string): void
  /** For machines: the one document of this command. */
  document(value: unknown): void
}

export function createOutput(options: OutputOptions, out: NodeJS.WritableStream = process.stdout): Output {
  const { json = false, quiet = false } = options
  const people = !json && !quiet
  return {
    json,
    line(text) {
      if (people) out.write(`${printableLine(text)}\n`)
    },
    raw(text) {
      if (people) out.write(`${text}\n`)
    },
    table(head, rows, empty = 'None.') {
      if (people && (rows.length > 0 || empty)) out.write(rows.length > 0 ? formatTable(head, rows) : `${empty}\n`)
    },
    document(value) {
      if (json && !quiet) out.write(`${JSON.stringify(value)}\n`)
    },
  }
}

/** Columns as wide as their widest cell; numbers to the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [head, ...rows.map(row => row.map(textOf))]
  const widths = head.map((_, column) => Math.max(...lines.map(line => (line[column] ?? '').length)))
  const toTheRight = head.map((_, column) => rows.every(row => typeof (row[column] ?? 0) === 'number'))
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return toTheRight[column] ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return lines.map(line => `${format(line)}\n`).join('')
}

function textOf(cell: Cell): string {
  if (cell === null || cell === undefined) return ''
  if (cell instanceof Date) return cell.toISOString().slice(0, 19).replace('T', ' ')
  return printable(String(cell))
}
