// Owns the question whether a statement may leave state in its session. Decided from its text before it is sent, and
// only what surely leaves none is called clean; state hidden in a user's own function cannot be seen here.
import { type DriverQuery, isQuery } from './driver.js'

const plainStart = /^\s*(select|insert|update|delete|with|values)\b/i
const leavesState =
  /\bset_config\b|\bpg_(try_)?advisory|\binto\s+(local\s+|global\s+)?temp|\bdblink|\blo_\w|;|\bpg_temp\b/i

const verdicts = new WeakMap<readonly string[], boolean>()

/** True for one SELECT, INSERT, UPDATE, DELETE or VALUES that names nothing which outlives it. */
export function leavesNoState(query: DriverQuery): boolean {
  if (query.options.simple) return false
  const composed = query.args.some(argument => isQuery(argument) || Array.isArray(argument))
  if (composed) return judge(textOf(query))
  let verdict = verdicts.get(query.strings)
  if (verdict === undefined) {
    verdict = judge(query.strings.join(' '))
    verdicts.set(query.strings, verdict)
  }
  return verdict
}

const judge = (text: string): boolean => plainStart.test(text) && !leavesState.test(text)

function textOf(query: DriverQuery): string {
  let text = ''
  query.strings.forEach((piece, at) => {
    text += piece
    for (const part of [query.args[at]].flat()) if (isQuery(part)) text += ` ${textOf(part)} `
  })
  return text
}
