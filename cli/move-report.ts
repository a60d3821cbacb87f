// What the command `move` prints: the outcome of a run, and the list of the last ones.
import type { MoveOutcome } from '../operations/move/run.js'
import type { OpenService } from '../operations/open-services.js'
import { withInterrupted } from '../plugins/distributed-tenant/registry/interrupted-runs.js'
import { type Output, sizeOf } from './output.js'

/** One sentence, or the outcome with `memoryBytes`, what this process took at most. */
export function printMove(outcome: MoveOutcome, output: Output): void {
  const { tenant, from, to, state, way, follows, frozenMs, warning } = outcome
  const what = way === 'online' ? 'Statements were held for' : 'Writers were refused for'
  const refused = frozenMs === null ? '' : ` ${what} ${Math.round(frozenMs)} ms.`
  const memory = process.resourceUsage().maxRSS * 1024
  const old = follows ? 'is closed and follows, until --finish; --back is the way back' : 'is kept there, closed'
  const sentences = {
    moved: `${tenant} is on ${to} now; what it had on ${from} ${old}.${refused}`,
    taken_back: `${tenant} is on ${from}, as before.`,
    source_dropped: `${tenant} is on ${to}; what it had on ${from} is dropped.${refused}`,
    finished: `${tenant} is on ${to}; what it had on ${from} is kept there, closed, and follows no longer.`,
    back: `${tenant} is on ${from} again; its copy on ${to} is dropped.${refused}`,
  }
  output.line(`${sentences[state]} This command took ${sizeOf(memory)} of memory.`)
  if (warning) output.line(`Warning: ${warning}`)
  output.document({ ...outcome, memoryBytes: memory })
}

/** The last runs, newest first. */
export async function listMoves({ name, tenancy }: OpenService, output: Output): Promise<void> {
  const { createJournal } = await import('../operations/copying/journal.js')
  const journal = createJournal(tenancy.move.central)
  const runs = []
  for (const run of await withInterrupted(tenancy.move.central, await journal.list(20, 'move'))) {
    const [row] = await journal.tenants(run.id)
    runs.push({
      ...run,
      tenant: row?.id,
      way: row?.online ? 'online' : 'frozen',
      step: row?.step,
      frozenMs: row?.frozenMs ?? null,
      error: row?.error ?? null,
    })
  }
  output.table(
    ['run', 'tenant', 'from>to', 'way', 'state', 'step', 'held ms', 'started', 'error'],
    runs.map(one => [
      one.id,
      one.tenant,
      one.source,
      one.way,
      one.state,
      one.step,
      one.frozenMs === null ? null : Math.round(one.frozenMs),
      one.startedAt,
      one.error,
    ]),
    `No moves in ${name}.`,
  )
  output.document({ service: name, runs })
}
