// The instance of each tenant, for connections that are about to be opened: from memory, kept fresh by the registry's
// notifications, else from the registry. Made only where a service has several instances. Invariants: no other source is
// used, Redis least of all; an entry from before a gap in the notifications is looked up again.
// If the registry is down: the last answer is used, since a tenant that has moved can log in only where it is.
import { LRUCache } from 'lru-cache'
import { TenantDatabaseUnavailable, TenantMoving } from '../errors.js'
import type { Notifications, SqlClient, TenantId } from '../types.js'

export interface Placements {
  /** At once when it is known. @throws TENANT_MOVING when it stays between two places, TENANT_DATABASE_UNAVAILABLE */
  of(id: TenantId): string | Promise<string>
  /** The same; null for a tenant that the registry does not have. */
  find(id: TenantId): Promise<string | null>
  /** The last known instance, for counting. */
  known(id: TenantId): string | undefined
  /** The database was not there: the next lookup reads the registry. */
  forget(id: TenantId): void
  /** Whether the registry, now, has it as being moved; false when the registry cannot be read. */
  moving(id: TenantId): Promise<boolean>
  /** Subscribes to moves. @returns the function that unsubscribes */
  listen(notifications: Notifications, subscriber: MoveSubscriber): () => void
}

export interface MoveSubscriber {
  /** The tenant is somewhere else now, or takes other statements than before: connections to it are opened anew. */
  moved(id: TenantId): void
  /** It is between two places: new statements wait for `ms` at most. */
  holds(id: TenantId, ms: number): void
  /** The notifications were lost: nothing may wait for one. */
  lost(): void
}

interface Known {
  readonly instance: string
  readonly age: number
}

interface Moved {
  readonly id: TenantId
  readonly moved?: boolean
  readonly moving?: string | null
}

const MAX_KNOWN = 100_000
/** The pause between two lookups of a connection that waits for the switch. */
const BETWEEN_LOOKS_MS = 25
/** A tenant that is between two places for longer than this was left there: connections no longer wait for it. */
const STUCK_AFTER_SECONDS = 15

export function createPlacements(options: {
  readonly central: SqlClient
  /** Milliseconds to wait for a switch. */
  readonly patience: number
}): Placements {
  const { central, patience } = options
  const memory = new LRUCache<TenantId, Known>({ max: MAX_KNOWN })
  const flights = new Map<TenantId, Promise<string | null>>()
  /** Entries of an earlier age may be wrong: notifications were lost since. */
  let age = 0
  let listening = false
  /** Raised by every notification: the result of a lookup that began before it is not remembered. */
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

  /** One lookup per tenant, however many wait for it. */
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
    listen(notifications, subscriber) {
      const lost = (): void => {
        era++
        age++
        listening = false
        subscriber.lost()
      }
      return notifications.subscribe(
        'fdt_tenants',
        payload => {
          const { id, moved, moving } = JSON.parse(payload) as Moved
          if (!moved) return
          era++
          memory.delete(id)
          if (moving === 'closing') subscriber.holds(id, STUCK_AFTER_SECONDS * 1_000)
          else subscriber.moved(id)
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
