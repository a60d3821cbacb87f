// What is wrong with a service, by its state at a look: each finding with its cure.
import type { ConnectionInfo, Figures, InterruptedRun, TenancyHealth } from '../distributed-tenant/index.js'
import type { RecentDrift } from './recent-drift.js'
import { cures } from './runs.js'

export interface ServiceFinding {
  /** `bad`: tenants are refused or data is at risk. `warn`: something waits or is short. */
  readonly severity: 'bad' | 'warn'
  readonly what: string
  readonly about: string
  readonly cure: string
}

/** Its parts, its connections and its counts; what did not answer within LOOK_DEADLINE_MS is null. */
export interface ServiceState {
  readonly service: string
  readonly at: Date
  readonly uptimeSeconds: number
  readonly pid: number
  readonly node: string
  readonly schemaVersion: number
  readonly source: boolean
  readonly parts: Pick<TenancyHealth, 'central' | 'cache' | 'events' | 'provisioning'>
  readonly instances: readonly {
    readonly name: string
    readonly status: 'up' | 'down' | 'off'
    readonly breaker: string | null
  }[]
  readonly connections: Omit<ConnectionInfo, 'tenants'>
  readonly figures: Figures['stored']
  readonly consumers: Figures['consumers']
  readonly drift: readonly RecentDrift[]
  /** Runs whose process is gone. */
  readonly interrupted: readonly InterruptedRun[] | null
}

export const LOOK_DEADLINE_MS = 2_000
const LONG_WAIT_SECONDS = 60
/** Each is a finding of its own. */
const MOST_RUNS = 5

export function findingsOf(state: ServiceState, sparesWanted: number): ServiceFinding[] {
  const counts = state.figures ? ofCounts(state, state.figures, sparesWanted) : ofNoCounts(state)
  const runs = ofRuns(state)
  return [...ofParts(state), ...ofConnections(state), ...counts, ...runs, ...ofConsumers(state), ...ofDrift(state)]
}

const bad = (what: string, about: string, cure: string): ServiceFinding => ({ severity: 'bad', what, about, cure })
const warn = (what: string, about: string, cure: string): ServiceFinding => ({ severity: 'warn', what, about, cure })

function ofParts({ parts, instances }: ServiceState): ServiceFinding[] {
  const { central, cache, events, provisioning } = parts
  const found: ServiceFinding[] = []
  if (central.status === 'down')
    found.push(
      bad(
        'The central database is down',
        central.detail ?? '',
        'No tenant can be looked up: see whether PostgreSQL of this service runs and has free connections.',
      ),
    )
  if (cache.status === 'down')
    found.push(
      warn(
        'Redis is down',
        cache.detail ?? '',
        'Tenants are served from memory and the registry: start Redis, or correct REDIS_URL.',
      ),
    )
  if (events.status === 'down')
    found.push(
      warn(
        'NATS is down',
        events.detail ?? '',
        'Tenants are served; new ones wait for the feed. Start NATS, or correct NATS_URL.',
      ),
    )
  if (provisioning.status === 'down')
    found.push(
      warn(
        'Provisioning is paused',
        provisioning.detail ?? '',
        'The instance is short of something: free disk, memory or connections. It is tried again by itself.',
      ),
    )
  for (const { name, status, breaker } of instances.slice(1)) {
    if (status === 'down')
      found.push(
        bad(`Instance ${name} is down`, breaker ?? '', 'Its tenants get 503, the others are served: start it.'),
      )
    else if (breaker !== null)
      found.push(
        warn(
          `The breaker of instance ${name} is open`,
          breaker,
          'New tenants go elsewhere; it is tried again by itself.',
        ),
      )
  }
  return found
}

function ofConnections({ connections }: ServiceState): ServiceFinding[] {
  const { inUse, budget, waiting } = connections
  if (waiting === 0 || inUse < budget) return []
  return [
    warn(
      'The connection budget is exhausted',
      `${inUse} of ${budget} in use, ${waiting} waiting`,
      'See Connections for the tenants that hold them; docs/connection-budget.md says which number to raise.',
    ),
  ]
}

/** Without counts nothing says that there is no failed tenant; a central database that is down is a finding already. */
const ofNoCounts = ({ parts }: ServiceState): ServiceFinding[] =>
  parts.central.status === 'down'
    ? []
    : [
        warn(
          'The counts are not known',
          `no result within ${LOOK_DEADLINE_MS / 1000} s`,
          'Failed tenants, outbox and dead events cannot be counted now: is the central database busy, or a table of it locked?',
        ),
      ]

function ofCounts(
  { service, schemaVersion }: ServiceState,
  figures: NonNullable<ServiceState['figures']>,
  sparesWanted: number,
): ServiceFinding[] {
  const { outbox, outboxRefused, deadEvents, parkedEvents, schemaBehind, spares, registry } = figures
  const found: ServiceFinding[] = []
  const failed = registry
    .filter(({ lifecycle, provisioned }) => lifecycle !== 'deleted' && /^(failed|foreign)$/.test(provisioned))
    .reduce((sum, { count }) => sum + count, 0)
  if (failed > 0)
    found.push(
      bad('Tenants are not provisioned', `${failed} failed`, 'Open Tenants with the filter failed, and retry.'),
    )
  if (outbox.oldestSeconds > LONG_WAIT_SECONDS)
    found.push(
      warn(
        'Events wait in the outbox',
        `${outbox.waiting}, the oldest for ${Math.round(outbox.oldestSeconds)} s`,
        'They are published when NATS answers: is it up?',
      ),
    )
  if (outboxRefused > 0)
    found.push(
      bad('Events are refused by the stream', `${outboxRefused}`, 'See `outbox.last_error` in the central database.'),
    )
  if (deadEvents > 0)
    found.push(warn('Events were set aside', `${deadEvents} dead`, 'Open Dead events: replay or drop each.'))
  if (parkedEvents > 0)
    found.push(
      warn(
        'Events wait for a newer release',
        `${parkedEvents} parked`,
        'The newer release replays them when it starts.',
      ),
    )
  if (schemaBehind > 0)
    found.push(
      warn(
        'Schemas are behind this release',
        `${schemaBehind} tenants below version ${schemaVersion}`,
        `Run \`distributed-tenant migrate --service ${service}\`.`,
      ),
    )
  if (spares < sparesWanted)
    found.push(
      warn('Spares are missing', `${spares} of ${sparesWanted}`, 'The service makes them by itself within a minute.'),
    )
  return found
}

const ofRuns = ({ interrupted }: ServiceState): ServiceFinding[] =>
  (interrupted ?? [])
    .slice(0, MOST_RUNS)
    .map(({ id, kind }) => warn('A run was interrupted', `${kind} ${id}`, cures[kind]))

function ofConsumers({ consumers, parts }: ServiceState): ServiceFinding[] {
  if (consumers === null)
    return parts.events.status === 'up'
      ? [
          warn(
            'The event lag is not known',
            `no result within ${LOOK_DEADLINE_MS / 1000} s`,
            'NATS is connected, and its JetStream does not answer: see the log of nats-server.',
          ),
        ]
      : []
  return Object.entries(consumers).flatMap(([durable, lag]) =>
    lag && lag.pending > 1_000
      ? [warn('Events are not consumed', `${lag.pending} pending for ${durable}`, 'Is every replica running?')]
      : [],
  )
}

const ofDrift = ({ drift }: ServiceState): ServiceFinding[] =>
  drift
    .filter(({ action }) => action === 'reported' || action === 'stopped')
    .map(({ kind, id, detail }) => warn(`Drift: ${kind.replaceAll('_', ' ')}`, id, detail))
