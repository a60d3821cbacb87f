// A command that stands still at a step (../faults/gate.ts): the one way for a test to do something at a known moment of it.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../until.js'
import type { Outcome } from './operator-commands.js'

const gate = fileURLToPath(new URL('../faults/gate.js', import.meta.url))

export interface HeldCommand {
  readonly outcome: Promise<Outcome>
  go(): void
}

/**
 * Resolves while the command stands at the step.
 * @param step such as `transfer.verified`, or `transfer.verified:2` for the second. @param begin runs it in a process of its own
 * @throws with its output when it has ended before
 */
export async function heldAt(
  step: string,
  folder: string,
  begin: (env: Record<string, string>, node: readonly string[]) => Promise<Outcome>,
): Promise<HeldCommand> {
  const place = mkdtempSync(join(folder, 'gate-'))
  const outcome = begin({ GATE: step, GATE_FOLDER: place }, ['--import', gate])
  let ended: Outcome | undefined
  void outcome.then(one => {
    ended = one
  })
  await until(`it stands at ${step}`, () => {
    if (ended) throw new Error(`ended before ${step}: ${ended.out}${ended.err}`)
    return existsSync(join(place, 'reached'))
  })
  return { outcome, go: () => writeFileSync(join(place, 'go'), '') }
}
