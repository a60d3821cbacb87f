// Refusal of statements whose effect on a leased connection would differ from their text: transactions by hand, settings
// for a transaction that does not exist, two-phase commit, and large objects. Decided from the text, before it is sent. A text that cannot
// hold any of them costs one check.

import type { DriverQuery } from '../connections/driver.js'
import { composes, textOf } from '../connections/session-state.js'
import { makesRoutine, statementsOf, type Token } from '../connections/statement-text.js'
import { TenantStatementRefused } from '../errors.js'

const OUTSIDE =
  'a statement outside of sql.begin has a session for itself alone, and state that it leaves there ends with it (a transaction, ' +
  'SET, set_config(…, false), a temporary table, a session’s lock). Put statements that belong together into ' +
  '`sql.begin(async sql => { … })`; several statements in one `sql.unsafe` are one transaction without it'
const INSIDE =
  'the transaction is begun and ended by sql.begin, which commits when its function resolves and rolls back when it ' +
  'throws. Return or throw, and use `sql.savepoint(async sql => { … })` for a part of it'
const LARGE_OBJECTS =
  'a large object stands outside of the tables, so that a tenant’s rights, backup, import and move do not cover it. Use ' +
  'bytea: store the content in a column of that type'

const PREPARED =
  'a prepared transaction outlives its request and its connection, and holds its locks until another session ends it. ' +
  'Commit it where it was begun'

/** Functions that make or write one. `lo_get` and `lo_unlink` stay: with them content is brought into a column. */
const largeObjects =
  /\b(?:lo_(?:creat|create|export|from_bytea|import|lseek|lseek64|open|put|tell|tell64|truncate|truncate64)|loread|lowrite)\b/i
/** One statement that reads or writes rows: none of the others. */
const rowsOnly = /^\s*(?:select|insert|update|delete|merge|with|values)\b[^;]*$/i

interface Refused {
  readonly statement: string
  readonly why: string
}

/** By where a statement runs. */
interface Verdict {
  readonly alone: Refused | null
  readonly transaction: Refused | null
  readonly session: Refused | null
}

const NOTHING: Verdict = { alone: null, transaction: null, session: null }
const ofTemplates = new WeakMap<readonly string[], Verdict>()

/**
 * The refusal of a query, null when it is sent. `place`: in a transaction of ours, in a session whose holder begins and ends
 * transactions, or alone.
 */
export function refusalOf(query: DriverQuery, place: keyof Verdict): Error | null {
  const refused = (query.args.some(composes) ? judge(textOf(query)) : ofTemplate(query.strings))[place]
  return refused && new TenantStatementRefused(refused.statement, refused.why)
}

function ofTemplate(strings: readonly string[]): Verdict {
  let verdict = ofTemplates.get(strings)
  if (verdict === undefined) {
    verdict = judge(strings.join(' '))
    ofTemplates.set(strings, verdict)
  }
  return verdict
}

function judge(text: string): Verdict {
  if (rowsOnly.test(text) && !largeObjects.test(text)) return NOTHING
  const statements = statementsOf(text)
  const first = (find: (statement: readonly Token[]) => string | null, why: string): Refused | null => {
    for (const tokens of statements) {
      const statement = find(tokens)
      if (statement !== null) return { statement, why }
    }
    return null
  }
  const largeObject = first(largeObjectIn, LARGE_OBJECTS)
  if (largeObject) return { alone: largeObject, transaction: largeObject, session: largeObject }
  const alone = first(controlIn, OUTSIDE) ?? (statements.length === 1 ? first(localIn, OUTSIDE) : null)
  return { alone, transaction: first(endingIn, INSIDE), session: first(preparedIn, PREPARED) }
}

/** The first words of a statement, behind parentheses. */
function wordsOf(statement: readonly Token[]): string[] {
  const start = statement.findIndex(({ kind, text }) => kind !== 'other' || text !== '(')
  const words = statement.slice(start < 0 ? 0 : start, start + 3)
  const end = words.findIndex(({ kind }) => kind !== 'word')
  return words.slice(0, end < 0 ? 3 : end).map(({ text }) => text)
}

const controls: ReadonlySet<string> = new Set([
  'begin',
  'start',
  'commit',
  'end',
  'abort',
  'rollback',
  'savepoint',
  'release',
])

/** A statement that begins, divides or ends a transaction. */
function controlIn(statement: readonly Token[]): string | null {
  const [first = '', second = ''] = wordsOf(statement)
  if (controls.has(first)) return second === 'prepared' || second === 'transaction' ? `${first} ${second}` : first
  return first === 'prepare' && second === 'transaction' ? 'prepare transaction' : null
}

/** The same, but for savepoints, which leave the transaction whole. */
function endingIn(statement: readonly Token[]): string | null {
  const words = wordsOf(statement)
  const control = controlIn(statement)
  if (control === null || control === 'savepoint' || control === 'release') return null
  const work = words[1] === 'work' || words[1] === 'transaction' ? 2 : 1
  return words[0] === 'rollback' && words[work] === 'to' ? null : control
}

/** A statement of two-phase commit. */
function preparedIn(statement: readonly Token[]): string | null {
  const control = controlIn(statement)
  return control && /^prepare |prepared$/.test(control) ? control : null
}

/** The effect of a statement on the transaction of its session. */
export type Move = 'begins' | 'divides' | 'commits' | 'rolls back'

const mayMove = /^[\s(]*(?:begin|start|commit|end|abort|rollback|savepoint|release|set)\b|^\s*(?:--|\/\*)/i

/** Null for a statement without such an effect, and for a text of several. `divides` also for a setting of the transaction. */
export function moveOf(query: DriverQuery): Move | null {
  if (!mayMove.test(query.strings[0] ?? '')) return null
  const [statement, ...more] = statementsOf(textOf(query))
  if (!statement || more.length > 0) return null
  const control = controlIn(statement)
  if (control === null) return localIn(statement) === null ? null : 'divides'
  if (control === 'begin' || control.startsWith('start')) return 'begins'
  // With AND CHAIN the next one has begun.
  if (endingIn(statement) === null || statement.some(({ text }) => text === 'chain')) return 'divides'
  if (control.endsWith('prepared') || control.startsWith('prepare')) return null
  return /^(?:commit|end)/.test(control) ? 'commits' : 'rolls back'
}

/** A setting for the transaction: the server only warns when there is none. */
function localIn(statement: readonly Token[]): string | null {
  const [first, second = ''] = wordsOf(statement)
  return first === 'set' && ['local', 'transaction', 'constraints'].includes(second) ? `${first} ${second}` : null
}

/** A call of a large object's function, also in the body of a DO or a function. */
function largeObjectIn(statement: readonly Token[]): string | null {
  return callIn(statement, statement[0]?.text === 'do' || makesRoutine(statement))
}

function callIn(statement: readonly Token[], runs: boolean): string | null {
  for (let at = 0; at < statement.length; at++) {
    const { kind, text } = statement[at] as Token
    if (kind === 'word' || kind === 'quoted') {
      const next = statement[at + 1]
      if (next?.kind === 'other' && next.text === '(' && isLargeObjects(text)) return text
    } else if (runs && (kind === 'body' || kind === 'string') && largeObjects.test(text)) {
      for (const inner of statementsOf(text)) {
        const found = callIn(inner, true)
        if (found !== null) return found
      }
    }
  }
  return null
}

const isLargeObjects = (name: string): boolean => largeObjects.exec(name)?.[0] === name

/** The same cure for a server on which the functions were revoked from PUBLIC. */
export function refusedByServer(error: unknown): Error | null {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  const name = code === '42501' && largeObjects.exec(String(message))?.[0]
  return name ? new TenantStatementRefused(name, LARGE_OBJECTS) : null
}
