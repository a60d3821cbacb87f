// The list of the last migration runs of each service, from its operator API or its central database.
import type { OperatorApi } from '../operations/operator-api.js'
import { type ListedRun, listRuns } from '../plugins/distributed-tenant/migration-runs/runs.js'
import { askServices } from './ask-services.js'
import type { Context } from './context.js'

const LISTED = 20

/** The newest first. */
export async function listMigrations(context: Context): Promise<void> {
  const { output } = context
  const { answers, through } = await askServices(context, {
    byApi: runsByApi,
    byDatabase: ({ tenancy }) => listRuns(tenancy.fleet.central, LISTED),
  })
  const runs = answers.flatMap(([service, found]) => found.map(run => ({ service, ...run })))
  output.table(
    ['service', 'run', 'target', 'state', 'reason', 'done', 'failed', 'pending', 'started'],
    runs.map(run => [
      run.service,
      run.id,
      run.target,
      run.state,
      run.reason,
      run.counts.done,
      run.counts.failed,
      run.counts.pending,
      run.startedAt,
    ]),
    'No runs.',
  )
  output.document({ through, runs })
}

async function runsByApi(api: OperatorApi): Promise<ListedRun[]> {
  type Answered = Omit<ListedRun, 'target' | 'startedAt' | 'endedAt' | 'counts'> & {
    goal: string
    counts: Partial<ListedRun['counts']>
    startedAt: string
    endedAt: string | null
  }
  const { items } = await api.call<{ items: Answered[] }>('GET', '/runs?kind=migrate')
  return items.slice(0, LISTED).map(({ id, goal, state, reason, startedAt, endedAt, counts }) => ({
    ...{ id, state, reason },
    target: Number(goal.replace('version ', '')),
    startedAt: new Date(startedAt),
    endedAt: endedAt === null ? null : new Date(endedAt),
    counts: { pending: 0, done: 0, failed: 0, rolled_back: 0, ...counts },
  }))
}
