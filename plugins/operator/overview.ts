// The state of a service at a look, and what is wrong with it (service-findings.ts). It puts no load on a part that is in trouble:
// looks within a second share one. If a part does not answer: its numbers are null.
import { within } from '../../timing/deadline.js'
import type { InterruptedRun, OperatorAccess, Tenants } from '../distributed-tenant/index.js'
import type { RecentDrift } from './recent-drift.js'
import { findingsOf, LOOK_DEADLINE_MS, type ServiceFinding, type ServiceState } from './service-findings.js'

export interface Overview extends ServiceState {
  readonly findings: readonly ServiceFinding[]
}

const FRESH_MS = 1_000

export interface OverviewParts {
  readonly tenants: Tenants
  readonly access: OperatorAccess
  readonly drift: () => RecentDrift[]
  readonly interruptedRuns: () => Promise<InterruptedRun[]>
}

export function createOverview({ tenants, access, drift, interruptedRuns }: OverviewParts) {
  let shared: { at: number; result: Promise<Overview> } | undefined

  async function look(): Promise<Overview> {
    const [health, { stored, consumers }, interrupted] = await Promise.all([
      tenants.health(LOOK_DEADLINE_MS),
      tenants.figures(LOOK_DEADLINE_MS),
      within(LOOK_DEADLINE_MS, interruptedRuns(), () => null).catch(() => null),
    ])
    const { tenants: _, ...connections } = health.connections
    const overview = {
      service: access.service,
      at: new Date(),
      uptimeSeconds: Math.floor(process.uptime()),
      pid: process.pid,
      node: process.version,
      schemaVersion: access.schemaVersion,
      source: access.source,
      parts: {
        central: health.central,
        cache: health.cache,
        events: health.events,
        provisioning: health.provisioning,
      },
      instances: access.instances.map(({ name, breaker }, at) => ({
        name,
        status: at === 0 ? health.central.status : (health.instances?.[name]?.status ?? ('off' as const)),
        breaker: breaker()?.reason ?? null,
      })),
      connections,
      figures: stored,
      consumers,
      drift: drift(),
      interrupted,
    }
    return { ...overview, findings: findingsOf(overview, access.sparesWanted) }
  }

  return (): Promise<Overview> => {
    const now = performance.now()
    if (!shared || now - shared.at > FRESH_MS) shared = { at: now, result: look() }
    return shared.result
  }
}
