// Owns the question what a statement may leave behind in its session, decided from its text before it is sent. Only what
// surely leaves nothing is called clean, what the reset cannot take back costs the connection. Not seen here: state that a
// user's own function or trigger sets, and the last value of a sequence (`lastval`).
import { type DriverQuery, isQuery } from './driver.js'

/** `clean`: nothing. `reset`: something that a reset takes back. `destroy`: something that it does not. */
export type Aftermath = 'clean' | 'reset' | 'destroy'

const plainStart = /^\s*(select|insert|update|delete|merge|with|values)\b/i

/** In a plain statement: functions and clauses that set something in the session, or run a text of their own. */
const sets = new RegExp(
  [
    /\bset_config\b|\bset_limit\b/, // the second is pg_trgm's
    /\bpg_(try_)?advisory/,
    /(?<!\b(?:insert|merge)\s+)\binto\b/, // SELECT INTO makes a table, maybe a temporary one
    /\bpg_temp/,
    /\blo_\w/,
    /\b(query|cursor|table|schema|database)_to_xml|\bts_(stat|rewrite)\b|\bcrosstab|\bconnectby\b|\bxpath_table\b/,
    /;|\bu&["']/, // another statement, or a name spelled in escapes
  ]
    .map(part => part.source)
    .join('|'),
  'i',
)

/** What a reset does not take back, wherever it stands. */
const staysForGood =
  /\bsetseed\b|\bdblink|\bpg_(create|copy)_\w*slot|\bpg_replication_origin|\bpg_(backup_start|start_backup)\b/i
/** The same, as words that are names of columns in a plain statement. The driver keeps its own prepared statements. */
const staysAsCommand = /\b(prepare|deallocate|load)\b|\bdiscard\s+(all|plans)\b/i

/** A read that waits for nobody's row: where one transaction waits for another, the server sees who holds up whom. */
const onlyReads = /^\s*select\b(?!.*\bfor\s+(no\s+key\s+|key\s+)?(update|share)\b)/is

interface Verdict {
  readonly aftermath: Aftermath
  readonly reads: boolean
}

const verdicts = new WeakMap<readonly string[], Verdict>()

/** Of a template without parts that become text. */
function verdictOn(template: readonly string[]): Verdict {
  let verdict = verdicts.get(template)
  if (verdict === undefined) {
    const text = template.join(' ')
    const aftermath = judge(text, false)
    verdict = { aftermath, reads: aftermath === 'clean' && onlyReads.test(text) }
    verdicts.set(template, verdict)
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

export function aftermathOf(query: DriverQuery): Aftermath {
  if (query.options.simple || query.args.some(composes)) return judge(textOf(query), Boolean(query.options.simple))
  return verdictOn(query.strings).aftermath
}

/** True for a template that is one SELECT, locks no rows and leaves nothing behind. Its arguments must be plain values. */
export const isPlainRead = (template: readonly string[]): boolean => verdictOn(template).reads

function judge(text: string, simple: boolean): Aftermath {
  if (staysForGood.test(text)) return 'destroy'
  if (!simple && plainStart.test(text) && !sets.test(text)) return 'clean'
  return staysAsCommand.test(text) ? 'destroy' : 'reset'
}

/** True when an argument becomes part of the text rather than a parameter. */
const composes = (argument: unknown): boolean =>
  typeof argument === 'object' && argument !== null && texts(argument) !== ''

function textOf(query: DriverQuery): string {
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
  if (typeof part === 'string') return `${part} `
  if (Array.isArray(part)) return part.map(named).join('')
  if (typeof part !== 'object' || part === null) return ''
  if (isQuery(part)) return texts(part)
  return Object.values(part)
    .map(value => (isQuery(value) ? texts(value) : ''))
    .join('')
}
