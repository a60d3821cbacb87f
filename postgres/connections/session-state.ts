// The effect of a statement on its session, decided from its text before it is sent. Invariants: `clean` is only a statement
// that is known to leave nothing: one plain statement that calls built-in functions of a list and writes to no catalogue;
// everything else is reset, and an effect that a reset does not undo costs the connection. Not seen here: state that a
// function, trigger, view or operator of the user's own schema sets, and the last value of a sequence (`lastval`).
import { LRUCache } from 'lru-cache'
import { type DriverQuery, isQuery } from './driver.js'
import { harmlessFunctions } from './harmless-functions.js'
import { statementsOf, type Token } from './statement-text.js'

/** `clean`: no effect. `reset`: an effect that a reset undoes. `destroy`: an effect that it does not. */
export type SessionState = 'clean' | 'reset' | 'destroy'

/** Effects that a reset does not undo, wherever they stand. */
const staysForGood = /\bdblink|\bpg_(create|copy)_\w*slot|\bpg_replication_origin|\bpg_(backup_start|start_backup)\b/i
/** The same, as words that are names of columns in a plain statement. The driver keeps its own prepared statements. */
const staysAsCommand = /\b(prepare|deallocate|load)\b|\bdiscard\s+(all|plans)\b/i

/** A read that waits for no row lock: where one transaction waits for another, the server sees which holds up which. */
const onlyReads = /^\s*select\b(?!.*\bfor\s+(no\s+key\s+|key\s+)?(update|share)\b)/is

export interface Verdict {
  readonly aftermath: SessionState
  /** One SELECT that locks no rows and leaves nothing behind. */
  readonly reads: boolean
}

const ofTemplates = new WeakMap<readonly string[], Verdict>()
/** Of texts that are put together anew for each query: an insert by helper, a list of values. */
const ofTexts = new LRUCache<string, Verdict>({ max: 1_000 })
/** A longer text is judged each time: the texts remembered stay below 4 MB. */
const LONGEST_REMEMBERED = 4_096

function verdictOnText(text: string, simple: boolean): Verdict {
  const aftermath = judge(text, simple)
  return { aftermath, reads: aftermath === 'clean' && onlyReads.test(text) }
}

/** Of a template without parts that become text. `sql.unsafe` makes one anew for each query: it is known by its text. */
function verdictOn(template: readonly string[]): Verdict {
  let verdict = ofTemplates.get(template)
  if (verdict === undefined) {
    const [first = '', ...more] = template
    verdict = more.length === 0 ? verdictOnWhole(first) : verdictOnText(template.join(' '), false)
    ofTemplates.set(template, verdict)
  }
  return verdict
}

function verdictOnWhole(text: string): Verdict {
  let verdict = ofTexts.get(text)
  if (verdict === undefined) {
    verdict = verdictOnText(text, false)
    if (text.length <= LONGEST_REMEMBERED) ofTexts.set(text, verdict)
  }
  return verdict
}

/** True for a text that no statement can have: on the wire a text ends at its first NUL. */
export const holdsNul = (query: DriverQuery): boolean =>
  query.strings.some(piece => piece.includes('\0')) ||
  query.args.some(part => names(part).includes('\0')) ||
  (query.args.some(composes) && textOf(query).includes('\0'))

/** The columns that a helper takes from the keys of its rows. */
function names(part: unknown): string {
  if (typeof part !== 'object' || part === null || !('first' in part && 'rest' in part)) return ''
  const rows = [part.first].flat(1)
  return rows.flatMap(row => (typeof row === 'object' && row !== null ? Object.keys(row) : [])).join(' ')
}

/** True for one statement that leaves nothing: were it several, the server would refuse to prepare it. */
export const isOnePlainStatement = (text: string): boolean => verdictOnWhole(text).aftermath === 'clean'

export function sessionStateOf(query: DriverQuery): SessionState {
  if (query.options.simple) return judge(textOf(query), true)
  if (!query.args.some(composes)) return verdictOn(query.strings).aftermath
  return verdictOnWhole(textOf(query)).aftermath
}

/** True for a template that is one SELECT, locks no rows and leaves nothing behind. Its arguments must be plain values. */
export const isPlainRead = (template: readonly string[]): boolean => verdictOn(template).reads

function judge(text: string, simple: boolean): SessionState {
  if (staysForGood.test(text)) return 'destroy'
  const plain = simple ? null : plainStatement(text)
  if (plain && leavesNothing(plain)) return 'clean'
  // In a plain statement such a word is a command only in a text that a function runs.
  const commands = plain
    ? plain.filter(({ kind }) => kind === 'string' || kind === 'body').map(({ text }) => text)
    : [text]
  return commands.some(part => staysAsCommand.test(part)) ? 'destroy' : 'reset'
}

/** The tokens of a text that is one statement which reads or writes rows; null for any other. */
function plainStatement(text: string): readonly Token[] | null {
  const [tokens, ...more] = statementsOf(text)
  const start = tokens?.find(token => !isOther(token, '('))
  return tokens && more.length === 0 && start?.kind === 'word' && plainStart.has(start.text) ? tokens : null
}

const plainStart: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values'])
const writes: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge'])

/** Words before a parenthesis that are no function: of the grammar, types, and syntax that is written like a function. */
const noFunctions: ReadonlySet<string> = new Set(
  (
    'all and any array as asc between by case cast coalesce collate conflict cross cube desc distinct do else except ' +
    'exists filter following for from full greatest group grouping having ilike in inner insert intersect is isnull join ' +
    'key lateral least left like limit localtime localtimestamp current_time current_timestamp materialized natural not ' +
    'nothing notnull nullif of offset on only operator or order outer over overlaps overlay partition position preceding ' +
    'range recursive returning right rollup row rows select set sets share similar skip some substring symmetric then to ' +
    'bernoulli repeatable system treat trim union unique update using values when where window with within xmlconcat ' +
    'xmlelement xmlexists xmlforest ' +
    'xmlparse xmlpi xmlserialize json_array json_exists json_query json_scalar json_serialize json_value ' +
    'bit char character dec decimal float interval national nchar numeric precision time timestamp timestamptz timetz ' +
    'varbit varchar varying bpchar'
  ).split(' '),
)

const isName = (token: Token | undefined): token is Token => token?.kind === 'word' || token?.kind === 'quoted'
const isOther = (token: Token | undefined, text: string): boolean => token?.kind === 'other' && token.text === text
const isWord = (token: Token | undefined, text: string): boolean => token?.kind === 'word' && token.text === text

function leavesNothing(tokens: readonly Token[]): boolean {
  const writing = tokens.some(({ kind, text }) => kind === 'word' && writes.has(text))
  const aliases = !tokens.some((token, at) => takesCallBehind(token, tokens[at + 1]))
  return tokens.every((token, at) => {
    // Not read to the end: a name in escapes, and a string that ends elsewhere where backslashes escape.
    if (token.kind === 'escaped' || (token.kind === 'string' && /\\('|$)/.test(token.text))) return false
    // SELECT INTO makes a table, maybe a temporary one.
    if (isWord(token, 'into')) return ['insert', 'merge'].includes(tokens[at - 1]?.text ?? '')
    if (!isName(token)) return true
    if (/^pg_temp/.test(token.text)) return false
    if (isOther(tokens[at + 1], '(')) return isKnown(tokens, at, aliases)
    // A catalogue's view may set something when it is written to, as pg_settings does.
    return !(writing && /^(pg_(?!catalog$)|information_schema$)/.test(token.text))
  })
}

/** Tokens that may stand in parentheses and have a function's name behind them: `distinct on (a) f(b)`, `a operator(+) f(b)`. */
const takesCallBehind = (token: Token, next: Token | undefined): boolean =>
  isWord(token, 'operator') ||
  (isWord(token, 'distinct') && isWord(next, 'on')) ||
  (isWord(token, 'returning') && isWord(next, 'with'))

/** The name before a parenthesis: a function of the list, or none. `aliases`: a name behind a parenthesis is one. */
function isKnown(tokens: readonly Token[], at: number, aliases: boolean): boolean {
  const { kind, text } = tokens[at] as Token
  const before = tokens[at - 1]
  if (isTarget(tokens, at)) return true
  if (isOther(before, '.')) {
    const schema = tokens[at - 2]
    return (
      isName(schema) && schema.text === 'pg_catalog' && !isOther(tokens[at - 3], '.') && harmlessFunctions.has(text)
    )
  }
  if (harmlessFunctions.has(text) || (kind === 'word' && noFunctions.has(text))) return true
  // Names of columns behind an alias or a part: `as v (a, b)`, `(values (1)) v (a)`, `with r (n) as`.
  return (
    isWord(before, 'as') || isWord(before, 'with') || isWord(before, 'recursive') || (aliases && isOther(before, ')'))
  )
}

/** Of `insert into a.b (...)`: the table. */
function isTarget(tokens: readonly Token[], at: number): boolean {
  let first = at
  while (isOther(tokens[first - 1], '.') && isName(tokens[first - 2])) first -= 2
  return isWord(tokens[first - 1], 'into') && isWord(tokens[first - 2], 'insert')
}

/** True when an argument becomes part of the text rather than a parameter. */
export const composes = (argument: unknown): boolean =>
  typeof argument === 'object' && argument !== null && texts(argument) !== ''

/** A query's text, with a space where a parameter stands. */
export function textOf(query: DriverQuery): string {
  return query.strings.map((piece, at) => `${piece} ${texts(query.args[at])}`).join('')
}

/** The text that fragments, lists of them, identifiers and helpers bring along. */
function texts(part: unknown): string {
  if (typeof part !== 'object' || part === null) return ''
  if (isQuery(part)) return `${textOf(part)} `
  if (Array.isArray(part)) return isQuery(part[0]) ? part.map(texts).join('') : ''
  if ('first' in part && 'rest' in part) return named([part.first, part.rest])
  // An identifier, already quoted; a parameter has a type beside its value.
  return 'value' in part && !('type' in part) && typeof part.value === 'string' ? `${part.value} ` : ''
}

/** Of a helper: names, and fragments that stand for values. Its values themselves become parameters. */
function named(part: unknown): string {
  if (typeof part === 'string') return `"${part.replaceAll('"', '""')}" `
  if (Array.isArray(part)) return part.map(named).join('')
  if (typeof part !== 'object' || part === null) return ''
  if (isQuery(part)) return texts(part)
  return Object.values(part)
    .map(value => (isQuery(value) ? texts(value) : ''))
    .join('')
}
