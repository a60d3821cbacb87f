// The result of a chaos run: its accepted changes, compared with the last ledger check. A run that killed nothing or
// made nothing is a violation too.
import type { LedgerCheck } from '../ledger-check.js'
import type { Promised } from './load.js'

export interface ChaosFacts {
  readonly tenants: number
  readonly accepted: number
  readonly changes: number
  readonly kills: Readonly<Record<string, number>>
  readonly wipedNats: number
  /** Calls repeated because there was no answer or an error. */
  readonly repeatedCalls: number
  /** Processes that ended without being killed. */
  readonly deaths: readonly string[]
  readonly failures: readonly string[]
  readonly seconds: number
  /** From the last start to the clean check. */
  readonly convergedMs: number | null
}

export interface ChaosVerdict extends ChaosFacts {
  readonly ready: number
  readonly deleted: number
  /** Accepted and unknown to identity, or a change of it undone. */
  readonly lost: number
  /** Neither ready in every service nor deleted. */
  readonly stuck: number
  readonly duplicateEffects: number
  readonly duplicateDeliveries: number
  /** One sentence each; empty when the run passed. */
  readonly violations: readonly string[]
}

export function judge(facts: ChaosFacts, check: LedgerCheck, promised: ReadonlyMap<string, Promised>): ChaosVerdict {
  const lost: string[] = []
  let ready = 0
  let deleted = 0
  let stuck = 0
  let twice = 0
  for (const [id, { lifecycle, version, repeats }] of promised) {
    const found = check.registry.get(id)
    if (!found) lost.push(`${id} was accepted and is unknown`)
    else if (found.lifecycle !== lifecycle) lost.push(`${id} is ${found.lifecycle}, accepted was ${lifecycle}`)
    else if (found.version < version) lost.push(`${id} is at version ${found.version}, accepted was ${version}`)
    if (found && found.version > version + repeats) twice++
    if (found?.lifecycle === 'deleted') deleted++
    else if (found?.ready) ready++
    else stuck++
  }
  const duplicateEffects = check.duplicateEffects.length + twice
  const killed = Object.values(facts.kills).reduce((sum, count) => sum + count, 0)
  const all: [boolean, string][] = [
    [facts.accepted < facts.tenants, `${facts.tenants - facts.accepted} tenants were never accepted`],
    [stuck > 0, `${stuck} tenants stuck`],
    [duplicateEffects > 0, `${duplicateEffects} effects twice: ${check.duplicateEffects.join('; ')}`],
    [killed === 0 || promised.size === 0, 'nothing was killed or nothing made'],
  ]
  return {
    ...facts,
    ready,
    deleted,
    lost: lost.length,
    stuck,
    duplicateEffects,
    duplicateDeliveries: check.duplicateDeliveries,
    violations: [
      ...lost,
      ...facts.failures,
      ...facts.deaths,
      ...check.differences,
      ...all.flatMap(([violated, what]) => (violated ? [what] : [])),
    ],
  }
}
