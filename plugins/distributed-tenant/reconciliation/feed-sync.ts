// Owns comparing this registry with identity's feed: newer words are applied, forged ones are put back, rows nobody vouches
// for are reported. Invariant: identity wins in either direction, and nothing is concluded from an answer that did not come
// or a row that cannot be read: that is told at every look at everything, so that no cursor hides it.

import type { TenantId } from '../../../events/index.js'
import type { ComparisonReport, Drift } from '../diagnostics/steps.js'
import {
  type Ahead,
  type Applied,
  applyPage,
  applyTold,
  overwriteAhead,
  readCursor,
  strangers,
} from '../registry/identity-state.js'
import { tryAtOnce } from '../registry/tenants-table.js'
import type { SqlClient } from '../types.js'
import type { Feed } from './feed-client.js'

export interface Comparison {
  /**
   * @param everything from the beginning, and with a look for rows that identity does not know
   * @throws IDENTITY_UNAVAILABLE
   */
  read(everything: boolean): Promise<void>
}

/** A request by a bare event is confirmed within seconds; who is unknown for longer than this is reported. */
const GRACE_MS = 300_000

export function createComparison(options: {
  readonly central: SqlClient
  readonly feed: Feed
  readonly report: (event: ComparisonReport) => void
  readonly drift: (drift: Drift) => void
  readonly graceMs?: number
}): Comparison {
  const { central, feed, report, drift } = options

  async function read(everything: boolean): Promise<void> {
    let after = everything ? 0 : await readCursor(central)
    const seen: string[] = []
    for (;;) {
      const page = await feed.changes(after)
      if (page.head < after) {
        report({ type: 'rewound', cursor: after, head: page.head })
        return read(true)
      }
      for (const { id } of page.items) seen.push(id)
      for (const { id, name, detail } of page.flawed) {
        if (id) seen.push(id)
        drift({ type: 'drift', kind: 'unreadable', id: name, action: 'reported', detail })
      }
      await take(page.items, page.next)
      if (page.next >= page.head || page.next <= after) break
      after = page.next
    }
    if (everything) await reportStrangers(seen)
  }

  async function take(items: Parameters<typeof applyPage>[1], next: number): Promise<void> {
    if (items.length === 0) return
    report({ type: 'applying', count: items.length })
    const { applied, ahead } = await applyPage(central, items, next)
    report({ type: 'applied', count: applied.length })
    const outcome = [...applied]
    for (const one of ahead) outcome.push(...(await settle(one)))
    for (const one of outcome) if (one.drift) drift(forged(one.id, 'it said something else under the same version'))
    const unready = outcome.filter(one => one.lifecycle !== 'deleted' && one.provisioned !== 'ready')
    if (unready.length > 0) {
      await tryAtOnce(
        central,
        unready.map(({ id }) => id),
      )
    }
  }

  /** Identity is asked after the row was read: a word that is still older proves that the row's version is not its own. */
  async function settle(ahead: Ahead): Promise<Applied[]> {
    const told = await feed.tenant(ahead.id)
    if (!told) return []
    if (told.version >= ahead.version) return (await applyTold(central, [told])).applied
    if (await overwriteAhead(central, told, ahead)) {
      drift(forged(ahead.id, `it had version ${ahead.version}, and identity has ${told.version}`))
    }
    return []
  }

  async function reportStrangers(seen: readonly string[]): Promise<void> {
    for (const { id, version } of await strangers(central, seen, options.graceMs ?? GRACE_MS)) {
      const detail =
        version === 0 ? 'a request that identity has not recorded' : `version ${version}, and not identity’s`
      drift({ type: 'drift', kind: 'stranger', id, action: 'reported', detail })
    }
  }

  return { read }
}

const forged = (id: TenantId, detail: string): Drift => ({
  type: 'drift',
  kind: 'forged',
  id,
  action: 'overwritten',
  detail,
})
