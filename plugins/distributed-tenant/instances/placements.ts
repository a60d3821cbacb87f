// Owns the answer to "on which instance is this tenant", for whoever is about to open a connection: memory, kept fresh by
// the registry's notifications, else the registry. Invariants: nothing else is believed, Redis least of all; what was
// remembered before words may have been missed is asked for again. The registry gone: the last answer is used, since a
// tenant that has moved is let in nowhere but where it is. Made only where a service has several instances.
import { LRUCache } from 'lru-cache'
import { TenantDatabaseUnavailable, TenantMoving } from '../errors.js'
import type { Notifications, SqlClient, TenantId } from '../types.js'

export interface Placements {
  /** At once when it is known. @throws TENANT_MOVING when it stays between two places, TENANT_DATABASE_UNAVAILABLE */
  of(id: TenantId): string | Promise<string>
  /** The same; null for a tenant that the registry does not have. */
  find(id: TenantId): Promise<string | null>
  /** What was last known, for counting. */
  known(id: TenantId): string | undefined
  /** It was not there: the next one asks the registry. */
  forget(id: TenantId): void
  /** Whether the registry says, now, that it is being moved; false when it cannot be asked. */
  moving(id: TenantId): Promise<boolean>
  /** Hears of moves. @returns how to stop */
  listen(notifications: Notifications, onMoved: (id: TenantId) => void): () => void
}

interface Known {
  readonly instance: string
  readonly age: number
}

const MAX_KNOWN = 100_000
/** How long one that waits for the switch looks again. */
const BETWEEN_LOOKS_MS = 25
/** A tenant that is between two places for longer than this was left there: nobody waits for it any more. */
const STUCK_AFTER_SECONDS = 15

export function createPlacements(options: {
  readonly central: SqlClient
  /** Milliseconds to wait for a switch. */
  readonly patience: number
}): Placements {
  const { central, patience } = options
  const memory = new LRUCache<TenantId, Known>({ max: MAX_KNOWN })
  const flights = new Map<TenantId, Promise<string | null>>()
  /** What is remembered of an earlier age may be wrong: words were missed since. */
  let age = 0
  let listening = false
  /** Raised by every word: an answer that was asked for before it is not remembered. */
  let era = 0

  async function ask(id: TenantId): Promise<string | null> {
    const until = performance.now() + patience
    for (;;) {
      const began = era
      const row = await look(id).catch(error => {
        const last = memory.get(id)
        if (!last) throw error
        return { instance: last.instance, moving: null, since: null }
      })
      if (!row) return null
      if (row.moving !== 'closing') {
        if (era === began) memory.set(id, { instance: row.instance, age })
        return row.instance
      }
      if ((row.since ?? 0) > STUCK_AFTER_SECONDS || performance.now() > until) throw new TenantMoving()
      await new Promise(resolve => setTimeout(resolve, BETWEEN_LOOKS_MS))
    }
  }

  async function look(
    id: TenantId,
  ): Promise<{ instance: string; moving: string | null; since: number | null } | undefined> {
    const [row] = await central<{ instance: string; moving: string | null; since: number | null }[]>`
      select instance, moving, extract(epoch from now() - moving_at)::float8 as since from tenants where id = ${id}`
    return row
  }

  function remembered(id: TenantId): string | undefined {
    const known = memory.get(id)
    return listening && known?.age === age ? known.instance : undefined
  }

  /** One question for one tenant, however many ask. */
  function fly(id: TenantId): Promise<string | null> {
    let flight = flights.get(id)
    if (!flight) {
      flight = ask(id).finally(() => flights.delete(id))
      flights.set(id, flight)
    }
    return flight
  }

  return {
    of(id) {
      return remembered(id) ?? fly(id).then(instance => instance ?? nowhere())
    },
    find: async id => remembered(id) ?? fly(id),
    known: id => memory.peek(id)?.instance,
    forget(id) {
      era++
      memory.delete(id)
    },
    async moving(id) {
      const row = await look(id).catch(() => undefined)
      return (row?.moving ?? null) !== null
    },
    listen(notifications, onMoved) {
      const lost = (): void => {
        era++
        age++
        listening = false
      }
      return notifications.subscribe(
        'fdt_tenants',
        payload => {
          const { id, moved } = JSON.parse(payload) as { id: TenantId; moved?: boolean }
          if (!moved) return
          era++
          memory.delete(id)
          onMoved(id)
        },
        () => {
          lost()
          listening = true
        },
        lost,
      )
    },
  }
}

function nowhere(): never {
  throw new TenantDatabaseUnavailable()
}
