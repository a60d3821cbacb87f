// The check of a migration's text before it is run: finds by name a statement that would end its transaction, one that
// PostgreSQL runs in no transaction, a command of psql, and the name of a database. It costs no database. A text that passes
// here and still ends the transaction is found out when the file is run.

import { statementsOf, type Token } from '../connections/statement-text.js'

export interface Flaw {
  readonly line: number
  /** As the file writes it, shortened. */
  readonly what: string
  readonly cure: string
}

/** More words than any rule below reads. */
const WORDS = 40

const runner = 'the migration runs in one transaction with its version: take it out'
const alone = 'PostgreSQL does not run it in a transaction, and each migration is one'
const concurrently = `${alone}: leave CONCURRENTLY out, or run it by hand with \`distributed-tenant run -- psql -c …\``
const byHand = `${alone}: run it by hand with \`distributed-tenant run -- psql -c …\``

/** The start of a refused statement, `|` between alternatives; `…` stands for any words in between. */
const refused: readonly (readonly [start: string, cure: string])[] = [
  ['begin', runner],
  ['start transaction', runner],
  ['commit', runner],
  ['end', runner],
  ['abort', runner],
  ['rollback', runner],
  ['prepare transaction', runner],
  ['create index concurrently', concurrently],
  ['create unique index concurrently', concurrently],
  ['drop index concurrently', concurrently],
  ['reindex … concurrently', concurrently],
  ['reindex database|system|schema', byHand],
  ['alter table … detach partition … concurrently', concurrently],
  ['vacuum', byHand],
  ['create database|tablespace', byHand],
  ['drop database|tablespace', byHand],
  ['alter system', byHand],
  ['discard all', byHand],
  ['copy … from stdin', 'its rows would come from a client: write them as INSERT'],
  ['copy … to stdout', 'there is no client that reads it: take it out'],
]

const otherDatabase =
  "it names one database, and a migration runs in each tenant's: write do $$ begin execute format('alter database %I …', current_database()); end $$"
const namesDatabase = [
  'alter database',
  'comment on database',
  'grant|revoke … on database',
  'alter role|user … in database',
]

interface Rule {
  readonly start: readonly (readonly string[])[]
  /** The rule itself where it is plain words, else how many words of the statement are shown. */
  readonly shown: string | number
  readonly cure: string
}

const rules = new Map<string, Rule[]>()
for (const [start, cure, words] of [
  ...refused.map(([start, cure]) => [start, cure, 2] as const),
  ...namesDatabase.map(start => [start, otherDatabase, 3] as const),
]) {
  const parts = start.split(' ').map(part => part.split('|'))
  for (const first of parts[0] as string[]) {
    const rule = { start: parts, shown: /[…|]/.test(start) ? words : start, cure }
    rules.set(first, [...(rules.get(first) ?? []), rule])
  }
}

/** @returns the first flaw, or null */
export function flawIn(text: string): Flaw | null {
  let line = 1
  let counted = 0
  const lineOf = (at: number): number => {
    for (; counted < at; counted++) if (text[counted] === '\n') line++
    return line
  }
  const mayBePsql = text.includes('\\')
  for (const statement of statementsOf(text)) {
    const psql = mayBePsql && statement.find(({ kind, text }) => kind === 'other' && text === '\\')
    if (psql) {
      const [command = ''] = /^\S*/.exec(text.slice(psql.at + 1, psql.at + 41)) ?? []
      const cure = 'it is a command of psql, which does not run migrations: write SQL'
      return { line: lineOf(psql.at), what: `\\${command}`, cure }
    }
    const tokens = statement.filter(({ kind }) => kind !== 'other' && kind !== 'string').slice(0, WORDS)
    const words = tokens.map(wordOf)
    const [first = ''] = words
    // After a rollback to a savepoint of the file's own the transaction continues.
    if (first === 'rollback' && words.includes('to')) continue
    const rule = rules.get(first)?.find(({ start }) => begins(words, start))
    if (!rule) continue
    const { shown, cure } = rule
    const what = typeof shown === 'string' ? shown : words.slice(0, shown).join(' ')
    return { line: lineOf(tokens[0]?.at ?? 0), what: what.toUpperCase(), cure }
  }
  return null
}

/** A word in lower case, a name in quotes, and anything between dollars as one word. */
function wordOf({ kind, text }: Token): string {
  if (kind === 'word') return text
  return kind === 'body' ? '$$' : `"${text}"`
}

function begins(words: readonly string[], start: Rule['start']): boolean {
  let at = 0
  for (const [index, part] of start.entries()) {
    if (part[0] === '…') continue
    const fits = (word: string | undefined): boolean => word !== undefined && part.includes(word)
    if (start[index - 1]?.[0] === '…') {
      while (at < words.length && !fits(words[at])) at++
    }
    if (!fits(words[at])) return false
    at++
  }
  return true
}
