// The dead events of one service for its operator: through its operator API, where each look and change is an audit row with the
// operator's name, or in its central database.
import type { DeadContents, DeadRow, Replayed } from '../plugins/distributed-tenant/registry/dead-letters.js'
import { ApiError } from './identity-api.js'
import type { OpenService } from './open-services.js'
import type { OperatorApi } from './operator-api.js'

/** `body` is text; bytes that are no UTF-8 are replaced. */
export type DeadEvent = Omit<DeadContents, 'data'> & { readonly body: string }

export interface DeadEvents {
  /** The oldest first, {@link MOST} at the most. */
  list(resolved: boolean): Promise<DeadRow[]>
  /** Null for one that is not there. */
  show(id: string): Promise<DeadEvent | null>
  /** Null for one that is not there or resolved already. */
  replay(id: string): Promise<Replayed | null>
  /** False for one that is not there or resolved already. */
  drop(id: string): Promise<boolean>
}

const MOST = 1_000

export function inDatabase({ tenancy: { deadLetters } }: OpenService): DeadEvents {
  return {
    list: resolved => deadLetters.list({ limit: MOST, resolved }),
    async show(id) {
      const found = await deadLetters.show(id)
      if (!found) return null
      const { data, ...event } = found
      return { ...event, body: data.toString('utf8') }
    },
    replay: deadLetters.replay,
    drop: deadLetters.drop,
  }
}

/** As JSON has it. */
type Sent<T> = { readonly [K in keyof T]: T[K] extends Date | null ? string | Extract<T[K], null> : T[K] }

export function throughApi(api: OperatorApi): DeadEvents {
  const path = (id: string): string => `/dead/${encodeURIComponent(id)}`
  return {
    async list(resolved) {
      const rows: DeadRow[] = []
      for (let after: string | null = null; rows.length < MOST; ) {
        const query = new URLSearchParams({ ...(resolved && { resolved: 'true' }), ...(after && { after }) })
        const page: { items: Sent<DeadRow>[]; next: string | null } = await api.call('GET', `/dead?${query}`)
        rows.push(...page.items.map(received))
        if (page.next === null) break
        after = page.next
      }
      return rows.slice(0, MOST)
    },
    show: id => orNull(async () => received(await api.call<Sent<DeadEvent>>('GET', path(id)))),
    replay: id => orNull(() => api.call<Replayed>('POST', `${path(id)}/replay`)),
    async drop(id) {
      return (await orNull(() => api.call('POST', `${path(id)}/drop`, { body: { confirm: id } }))) !== null
    },
  }
}

const received = <T extends DeadRow>(sent: Sent<T>): T => {
  const { receivedAt, resolvedAt } = sent as unknown as Sent<DeadRow>
  return {
    ...sent,
    receivedAt: new Date(receivedAt as string),
    resolvedAt: resolvedAt === null || resolvedAt === undefined ? null : new Date(resolvedAt as string),
  } as unknown as T
}

/** Null for the service's code of an event that is not there. Another failure is thrown. */
async function orNull<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ApiError && error.code === 'DEAD_EVENT_NOT_FOUND') return null
    throw error
  }
}
