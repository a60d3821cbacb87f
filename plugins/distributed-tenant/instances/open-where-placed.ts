// Opens a tenant's connection on the tenant's instance, in a service with several: the instance from memory or the registry,
// the quota of that instance in the budget, and one more try when the remembered instance was wrong.

import type { Connect, Connection } from '../../../postgres/connections/connection.js'
import { atTheDoor } from '../../../postgres/connections/failures.js'
import type { Target } from '../../../postgres/connections/target.js'
import { createShares } from '../../../postgres/pool/instance-quota.js'
import type { InstanceShares } from '../../../postgres/pool/pool-view.js'
import type { TenantId } from '../types.js'
import { openAwaited } from './deferred-connection.js'
import type { Placements } from './placements.js'

/** The part of a target that differs by instance. */
export type Place = Pick<Target, 'host' | 'port' | 'tls'> & { readonly connect: Connect }

export interface Placed {
  /** `lost` gets the reason of the loss, but for a refusal on an instance that was only remembered. */
  open(id: TenantId, target: Target, lost: (error: Error) => void): Connection
  /** After a connect that failed: whether another attempt, after a lookup in the registry, may succeed. */
  again(id: TenantId): boolean
  readonly shares: InstanceShares
}

export function createPlaced(options: {
  readonly placements: Placements
  readonly places: ReadonlyMap<string, Place>
  /** The budget of the moment. */
  readonly budget: () => number
  readonly connectTimeout: number
  /** The error for an instance that is not configured in this process. */
  readonly unknown: () => Error
}): Placed {
  const { placements, places, budget, connectTimeout } = options
  const shares = createShares({ budget, instances: places.size })
  const doubted = new Set<TenantId>()
  const known = (id: string): string | undefined => placements.known(id as TenantId)

  function placeOf(instance: string): Place {
    const place = places.get(instance)
    if (!place) throw options.unknown()
    return place
  }

  function begin(target: Target, place: string | Promise<string>): Connection {
    if (typeof place === 'string' && places.has(place)) {
      const { connect, ...at } = placeOf(place)
      const connection = connect({ ...target, ...at }, connectTimeout)
      shares.opens(place, connection)
      return connection
    }
    const placed = Promise.resolve(place).then(instance => ({ instance, at: placeOf(instance) }))
    const awaited = placed.then(({ at: { connect, ...at } }) => ({ connect, target: { ...target, ...at } }))
    const connection = openAwaited(awaited, connectTimeout)
    placed.then(
      one => shares.opens(one.instance, connection),
      () => {},
    )
    return connection
  }

  return {
    open(id, target, lost) {
      const place = placements.of(id)
      const remembered = typeof place === 'string'
      const connection = begin(target, place)
      let opened = false
      connection.watch(error => {
        doubted.delete(id)
        if (opened || !remembered || !atTheDoor(error)) return lost(error)
        placements.forget(id)
        doubted.add(id)
      })
      connection.opened.then(
        () => {
          opened = true
        },
        () => {},
      )
      return connection
    },
    again: id => doubted.has(id),
    shares: {
      opening: id => shares.opening(known(id) ?? ''),
      full: id => shares.full(known(id) ?? ''),
      same: (id, other) => known(id) === known(other),
    },
  }
}
