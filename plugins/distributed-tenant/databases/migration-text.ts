// The check of a migration's text before it is run: finds by name a statement that would end its transaction, one that
// PostgreSQL runs in no transaction, a command of psql, and the name of a database. It costs no database. A text that passes
// here and still ends the transaction is found out when the file is run.

export interface Flaw {
  readonly line: number
  /** As the file writes it, shortened. */
  readonly what: string
  readonly cure: string
}

/** The statements of a text, each as the words it begins with. */
interface Statement {
  readonly line: number
  /** In lower case; a name in quotes as `"…"`, everything else of one sign. */
  readonly words: readonly string[]
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
  for (const { line, words } of statementsOf(text)) {
    const [first = '', second = ''] = words
    if (first === '\\') {
      return { line, what: `\\${second}`, cure: 'it is a command of psql, which does not run migrations: write SQL' }
    }
    // After a rollback to a savepoint of the file's own the transaction continues.
    if (first === 'rollback' && words.includes('to')) continue
    const rule = rules.get(first)?.find(({ start }) => begins(words, start))
    if (!rule) continue
    const { shown, cure } = rule
    const what = typeof shown === 'string' ? shown : words.slice(0, shown).join(' ')
    return { line, what: what.toUpperCase(), cure }
  }
  return null
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

/** Parts that are skipped whole, and parts that count as one word. As PostgreSQL reads it with standard_conforming_strings. */
const tokens = new RegExp(
  [
    /--[^\n]*/, // a comment
    /(?<open>\/\*)/,
    /\b[eE]'[^'\\]*(?:(?:''|\\[\s\S])[^'\\]*)*'?/, // a text with escapes
    /'[^']*(?:''[^']*)*'?/,
    /(?<name>"[^"]*(?:""[^"]*)*"?)/,
    /(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)/,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /\d[\w.]*/,
    /\$\d+/,
    /(?<sign>[;()\\])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'g',
)

function* statementsOf(text: string): Generator<Statement> {
  let words: string[] = []
  let line = 1
  let counted = 0
  let begun = 0
  let depth = 0
  /** BEGIN ATOMIC and CASE, each with an END, inside a function that is written as SQL. */
  let blocks = 0
  let before = ''
  const lineOf = (at: number): number => {
    for (; counted < at; counted++) if (text[counted] === '\n') line++
    return line
  }
  const add = (word: string, at: number): void => {
    if (words.length === 0) begun = lineOf(at)
    if (words.length < WORDS) words.push(word)
  }
  tokens.lastIndex = 0
  for (let found = tokens.exec(text); found; found = tokens.exec(text)) {
    const { index } = found
    const { open, name, dollar, word, sign } = found.groups ?? {}
    if (open) tokens.lastIndex = endOfComment(text, tokens.lastIndex)
    else if (dollar) {
      const end = text.indexOf(dollar, tokens.lastIndex)
      tokens.lastIndex = end < 0 ? text.length : end + dollar.length
      add('$$', index)
    } else if (name) add(name, index)
    else if (word) {
      const lower = word.toLowerCase()
      if (blocks > 0 ? lower === 'case' : lower === 'atomic' && before === 'begin') blocks++
      else if (blocks > 0 && lower === 'end') blocks--
      before = lower
      add(lower, index)
    } else if (sign === '\\') {
      const [, command = ''] = /^([^\s]*)/.exec(text.slice(tokens.lastIndex)) ?? []
      yield { line: lineOf(index), words: ['\\', command.slice(0, 40)] }
      return
    } else if (sign === '(') depth++
    else if (sign === ')') depth = Math.max(0, depth - 1)
    else if (sign === ';' && depth === 0 && blocks === 0) {
      if (words.length > 0) yield { line: begun, words }
      words = []
    }
  }
  if (words.length > 0) yield { line: begun, words }
}

/** Comments nest. */
function endOfComment(text: string, from: number): number {
  const edges = /\/\*|\*\//g
  edges.lastIndex = from
  let depth = 1
  for (let edge = edges.exec(text); edge; edge = edges.exec(text)) {
    depth += edge[0] === '/*' ? 1 : -1
    if (depth === 0) return edges.lastIndex
  }
  return text.length
}
