// The changes of tenants since a place of the stream, for a caller that asks again and again: it waits until there is one. Each is
// the tenant's whole state, so a repeat does no harm. After too many changes the caller reads its list anew.
import { setTimeout as sleep } from 'node:timers/promises'
import { type FleetRow, rowOf } from './fleet.js'
import type { Watch } from './watch.js'

export interface FleetChanges {
  /** Ask with it next time. */
  readonly place: string
  readonly items: readonly FleetRow[]
  /** More changed than is sent: read the list anew. */
  readonly reset: boolean
}

const MOST = 500
/** What comes together is answered together. */
const GATHER_MS = 250

/** @param place null: from now on */
export async function changesSince(
  watch: Watch,
  place: string | null,
  waitMs: number,
  signal: AbortSignal,
): Promise<FleetChanges> {
  const rows = new Map<string, FleetRow>()
  let at = place ?? '0'
  let arrived = (): void => {}
  const first = new Promise<void>(resolve => {
    arrived = resolve
  })
  const leave = await watch.join(
    {
      only: undefined,
      async send(newPlace, tenant) {
        at = newPlace
        if (!tenant) return
        if (rows.size <= MOST) rows.set(tenant.id, rowOf(tenant))
        arrived()
      },
    },
    place,
  )
  try {
    if (rows.size === 0) await Promise.race([first, pause(waitMs, signal)])
    if (rows.size > 0) await pause(GATHER_MS, signal)
  } finally {
    leave()
  }
  const reset = rows.size > MOST
  return { place: at, items: reset ? [] : [...rows.values()], reset }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
