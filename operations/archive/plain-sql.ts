// The definitions as pg_dump writes them, as SQL alone: newer releases of it begin and end with a command of psql, by which
// psql refuses others in between. Any program that sends SQL is to run the file; it holds no rows that could bring some along.
import type { Write } from './archive-writer.js'

/** Behind comments only. */
const FIRST = /^((?:--[^\n]*\n|\n)*)\\restrict (\S+)\n\n?/

/** Passes on to `take` what `dump` writes, without these two lines. Definitions are small: they come as one. */
export async function plainSql(take: Write, dump: (write: Write) => Promise<void>): Promise<void> {
  const chunks: Uint8Array[] = []
  await dump(async chunk => void chunks.push(chunk))
  const text = Buffer.concat(chunks).toString('utf8')
  await take(Buffer.from(withoutRestriction(text)))
}

export function withoutRestriction(text: string): string {
  const found = FIRST.exec(text)
  if (!found) return text
  const [whole, comments = '', key] = found
  const last = text.lastIndexOf(`\\unrestrict ${key}\n`)
  return `${comments}${text.slice(whole.length, last < 0 ? text.length : last).trimEnd()}\n`
}
