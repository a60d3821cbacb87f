// The comparison of this registry with identity's feed: newer states are applied, rows that events have set otherwise are
// corrected within one reading, an id that is another tenant's now is stopped, rows that identity does not know are reported,
// and statuses that identity's ledger lacks are published again. Invariant: identity wins in either direction, and no
// conclusion is drawn from a missing answer or an unreadable row: such a row is reported at every pass over everything, so
// that no cursor hides it.

import type { TenantId } from '../../../events/index.js'
import type { ComparisonReport, Drift } from '../diagnostics/steps.js'
import { retryNow } from '../registry/attempts.js'
import {
  type Applied,
  applyFeedTenants,
  applyPage,
  type LocalAhead,
  missingInLedger,
  overwriteAhead,
  readCursor,
  unconfirmedIds,
  unknownTenants,
  withdrawUnconfirmed,
} from '../registry/identity-state.js'
import { repeatStatus } from '../registry/status-events.js'
import type { ServiceName, SqlClient } from '../types.js'
import type { Feed } from './feed-client.js'

export interface Comparison {
  /**
   * @param everything from the beginning, and with a check for rows that identity does not know
   * @throws IDENTITY_UNAVAILABLE
   */
  read(everything: boolean): Promise<void>
  /** One tenant, now. @throws IDENTITY_UNAVAILABLE */
  ask(id: TenantId): Promise<void>
}

type Outcome = Awaited<ReturnType<typeof applyFeedTenants>>

/** A request by a bare event is confirmed within seconds; a tenant that is unknown for longer than this is reported. */
const GRACE_MS = 300_000
/** At most so many rows that events have changed are read after a page; the others come next time. */
const DOUBTS_AT_ONCE = 500
const REBORN = 'identity’s feed has another tenant under this id; the earlier one’s database is no longer served'

export function createComparison(options: {
  readonly central: SqlClient
  readonly feed: Feed
  readonly report: (event: ComparisonReport) => void
  readonly drift: (drift: Drift) => void
  readonly service: ServiceName
  /** A status may be on its way for so long before it counts as missing in the ledger. */
  readonly inFlightMs: number
  readonly graceMs?: number
}): Comparison {
  const { central, feed, report, drift } = options

  async function read(everything: boolean): Promise<void> {
    const cursor = await readCursor(central)
    let after = everything ? 0 : cursor.seq
    const seen: string[] = []
    for (;;) {
      const page = await feed.changes(after)
      const setBack = page.history !== undefined && cursor.history !== null && page.history !== cursor.history
      if (page.head < after || (setBack && !everything)) {
        report({ type: 'rewound', cursor: after, head: page.head })
        return read(true)
      }
      for (const { id } of page.items) seen.push(id)
      for (const { id, name, detail } of page.flawed) {
        if (id) seen.push(id)
        drift({ type: 'drift', kind: 'unreadable', id: name, action: 'reported', detail })
      }
      if (page.items.length > 0) {
        report({ type: 'applying', count: page.items.length })
        await follow(await applyPage(central, page.items, page.next, page.history))
        if (everything) {
          for (const one of await missingInLedger(central, page.items, options.inFlightMs)) {
            await repeatStatus(central, options.service, one)
          }
        }
      }
      if (page.next >= page.head || page.next <= after) break
      after = page.next
    }
    for (const id of await unconfirmedIds(central, DOUBTS_AT_ONCE)) await ask(id)
    if (everything) await reportStrangers(seen)
  }

  async function follow({ applied, ahead }: Outcome): Promise<void> {
    report({ type: 'applied', count: applied.length })
    const outcome = [...applied]
    for (const one of ahead) outcome.push(...(await settle(one)))
    for (const one of outcome) {
      if (one.drift) drift(forged(one.id, 'its content differed under the same version'))
      if (one.reborn) drift({ type: 'drift', kind: 'other_incarnation', id: one.id, action: 'stopped', detail: REBORN })
    }
    const unready = outcome.filter(one => one.lifecycle !== 'deleted' && one.provisioned !== 'ready')
    if (unready.length > 0) {
      await retryNow(
        central,
        unready.map(({ id }) => id),
      )
    }
  }

  /** Identity is read after the row was: a state that is still older proves that the row's version is not identity's. */
  async function settle(ahead: LocalAhead): Promise<Applied[]> {
    const tenant = await feed.tenant(ahead.id)
    if (!tenant) return []
    if (tenant.version >= ahead.version) return (await applyFeedTenants(central, [tenant])).applied
    if (await overwriteAhead(central, tenant, ahead)) {
      drift(forged(ahead.id, `it had version ${ahead.version}, and identity has ${tenant.version}`))
    }
    return []
  }

  async function ask(id: TenantId): Promise<void> {
    const tenant = await feed.tenant(id)
    if (tenant) return follow(await applyFeedTenants(central, [tenant]))
    const version = await withdrawUnconfirmed(central, id)
    if (version !== null) drift(forged(id, `it had version ${version}, and identity does not know it`))
  }

  async function reportStrangers(seen: readonly string[]): Promise<void> {
    for (const { id, version } of await unknownTenants(central, seen, options.graceMs ?? GRACE_MS)) {
      const detail =
        version === 0 ? 'a request that identity has not recorded' : `version ${version}, and not identity’s`
      drift({ type: 'drift', kind: 'unknown_tenant', id, action: 'reported', detail })
    }
  }

  return { read, ask }
}

const forged = (id: TenantId, detail: string): Drift => ({
  type: 'drift',
  kind: 'forged',
  id,
  action: 'overwritten',
  detail,
})
