// The output of an import for people and machines: its plan, the outcome of each tenant, and the past runs.

import { createJournal } from '../operations/copying/journal.js'
import type { ImportOutcome } from '../operations/import/import.js'
import type { Plan } from '../operations/import/plan.js'
import type { OpenService } from '../operations/open-services.js'
import { withInterrupted } from '../plugins/distributed-tenant/registry/interrupted-runs.js'
import { type Output, sizeOf } from './output.js'

/** @throws an error that not all is done, with how to resume */
export function printOutcomes(
  id: string,
  outcomes: readonly ImportOutcome[],
  interrupted: boolean,
  output: Output,
): void {
  const online = outcomes.some(({ closedMs }) => closedMs !== null)
  output.table(
    ['tenant', 'state', 'seconds', ...(online ? ['closed for'] : []), 'error'],
    outcomes.map(({ id: tenant, state, ms, closedMs, error }) => [
      tenant,
      state,
      ms / 1000,
      ...(online ? [closedMs === null ? null : closedMs / 1000] : []),
      error,
    ]),
    'Nothing to do.',
  )
  output.document({ run: id, interrupted, tenants: outcomes })
  const failed = outcomes.filter(({ state }) => state === 'failed').length
  if (failed > 0)
    throw new Error(`${failed} of ${outcomes.length} failed: see above. Run ${id} goes on with --resume ${id}.`)
  if (interrupted) throw new Error(`Run ${id} was interrupted: it goes on with --resume ${id}.`)
}

export function printPlan({ source, tenants, bytes, seconds, obstacles }: Plan, output: Output): void {
  output.table(
    ['tenant', 'as', 'name', 'databases', 'size'],
    tenants.map(one => [
      one.oldId,
      one.id,
      one.facts.name,
      one.databases.map(({ service, baseline }) => `${service} v${baseline}`).join(', '),
      sizeOf(one.bytes),
    ]),
    `No tenants at ${source} can be imported as they are.`,
  )
  output.line(`${tenants.length} tenants, ${sizeOf(bytes)}; roughly ${seconds} s.`)
  output.table(
    ['in the way', 'what', 'stops it'],
    obstacles.map(one => [one.about, one.what, one.blocks]),
    'Nothing is in the way.',
  )
}

export const documentOf = ({ proposals, ...plan }: Plan): object => ({
  plan: { ...plan, proposals: Object.fromEntries(proposals) },
})

export async function printRuns(services: readonly OpenService[], output: Output): Promise<void> {
  const runs = []
  for (const { name, tenancy } of services) {
    const { central } = tenancy.transfer
    for (const run of await withInterrupted(central, await createJournal(central).list(20)))
      runs.push({ service: name, ...run })
  }
  output.table(
    ['service', 'run', 'source', 'state', 'started'],
    runs.map(run => [run.service, run.id, run.source, run.state, run.startedAt]),
    'No runs.',
  )
  output.document({ runs })
}
