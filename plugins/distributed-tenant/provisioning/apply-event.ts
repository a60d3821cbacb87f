// The effect of a lifecycle event here. Invariants: order is by identity's version, so repeats and late events change
// nothing; a bare `tenant.created` is a request, which creates and never changes; an event that cannot be applied is a dead
// letter. JetStream does not authenticate the sender. A forged event can be applied, and is corrected at the next comparison
// with identity's feed; where tenants are made no event changes a row. An event about another incarnation than the row's
// triggers that comparison at once.
// If an instance is down or short of resources: the event is kept and tried again later.
import { DeadEvent, type LifecycleEvent } from '../../../events/index.js'
import {
  CentralDatabaseUnavailable,
  DatabaseForeign,
  TenantDomainTaken,
  TenantIdReserved,
  TenantIdTaken,
} from '../errors.js'
import type { Breaker } from '../instances/breaker.js'
import { parseNewTenantId } from '../names.js'
import { applyTenantState, findTenant, insertTenant } from '../registry/tenants-table.js'
import type { Lifecycle, SqlClient, TenantId } from '../types.js'
import type { Attempt } from './attempt.js'
import type { Source } from './tenant-source.js'

export interface ApplyOptions {
  readonly central: SqlClient
  readonly attempt: Attempt
  readonly breaker: Breaker
  /** Set where tenants are made. */
  readonly source: Source | null
  /** Compares one tenant with identity's feed; null where that is not read. @throws IDENTITY_UNAVAILABLE */
  readonly ask: ((id: TenantId) => Promise<void>) | null
}

/** Applies one event. @throws DeadEvent for one that can never be applied, anything else for one that may work later */
export async function applyLifecycle(event: LifecycleEvent, options: ApplyOptions): Promise<void> {
  const { attempt, breaker } = options
  // The registry is on the same instance: not even a connection is tried.
  const { unreachable, retryInMs } = breaker.state()
  if (unreachable && retryInMs > 0) throw new CentralDatabaseUnavailable()
  try {
    await (event.version === undefined ? applyRequest(event, options) : applyVersioned(event, options))
    breaker.reached()
    await attempt(event.id)
  } catch (error) {
    if (isFinal(error)) throw new DeadEvent((error as Error).message)
    breaker.blame(error)
    throw error
  }
}

const isFinal = (error: unknown): boolean =>
  error instanceof TenantIdReserved ||
  error instanceof TenantIdTaken ||
  error instanceof TenantDomainTaken ||
  error instanceof DatabaseForeign

async function applyRequest(event: LifecycleEvent, { central, source }: ApplyOptions): Promise<void> {
  const { id, name = id, domain = null, settings = {} } = event
  const asked = { id: parseNewTenantId(id), name, domain, settings, lifecycle: lifecycleOf(event) }
  if (source) return source.record(asked)
  // Until identity confirms it, the domain is not routed: it may be taken (registry.findByDomain wants a version).
  await insertTenant(central, { ...asked, version: 0 })
}

async function applyVersioned(event: LifecycleEvent, { central, source, ask }: ApplyOptions): Promise<void> {
  if (source) {
    // Its own event comes back: the row was written before it, so an unknown id was never published by us.
    if (await findTenant(central, event.id)) return
    throw new DeadEvent(`No tenant of this id was made here, and only this service makes tenants.`)
  }
  const { kind: _, is_active: __, actor: ___, version = 0, incarnation, ...state } = event
  if (incarnation !== undefined) {
    const known = await findTenant(central, event.id)
    if (known?.incarnation && known.incarnation !== incarnation) {
      if (!ask) throw new DeadEvent('The event is about another tenant of this id than the one that is here.')
      // One of both is not identity's: its feed decides, and the event changes nothing itself.
      return ask(event.id)
    }
  }
  await applyTenantState(central, { ...state, version, lifecycle: lifecycleOf(event) })
}

function lifecycleOf(event: LifecycleEvent): Lifecycle {
  if (event.kind === 'deleted') return 'deleted'
  if (event.kind === 'suspended') return 'suspended'
  return event.is_active === false ? 'suspended' : 'active'
}
