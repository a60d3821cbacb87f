// Opens a tenant's connection on the tenant's instance, in a service with several: the instance from memory or the registry,
// the quota of that instance in the budget, and one more try when the remembered instance was wrong.

import { type Connection, openConnection } from '../connections/connection.js'
import { atTheDoor } from '../connections/failures.js'
import type { Target } from '../connections/target.js'
import { tenantOfDatabase } from '../names.js'
import { createShares } from '../pool/instance-quota.js'
import type { InstanceShares } from '../pool/pool-view.js'
import type { ServiceName, TenantId } from '../types.js'
import { openAwaited } from './deferred-connection.js'
import type { Placements } from './placements.js'

/** The part of a target that differs by instance. */
export type Place = Pick<Target, 'host' | 'port' | 'tls'>

export interface Placed {
  /** `lost` gets the reason of the loss, but for a refusal on an instance that was only remembered. */
  open(database: string, target: Target, lost: (error: Error) => void): Connection
  /** After a connect that failed: whether another attempt, after a lookup in the registry, may succeed. */
  again(database: string): boolean
  /** The instance of a tenant database, as last known. */
  instanceOf(database: string): string | undefined
  readonly shares: InstanceShares
}

export function createPlaced(options: {
  readonly service: ServiceName
  readonly placements: Placements
  readonly places: ReadonlyMap<string, Place>
  readonly budget: number
  readonly connectTimeout: number
  /** The error for an instance that is not configured in this process. */
  readonly unknown: () => Error
}): Placed {
  const { service, placements, places, budget, connectTimeout } = options
  const shares = createShares({ budget, instances: places.size })
  const doubted = new Set<string>()
  const instanceOf = (database: string): string | undefined => {
    const id = tenantOfDatabase(database, service)
    return id === null ? undefined : placements.known(id)
  }

  function placeOf(instance: string): Place {
    const place = places.get(instance)
    if (!place) throw options.unknown()
    return place
  }

  function begin(database: string, target: Target, place: string | Promise<string>): Connection {
    if (typeof place === 'string' && places.has(place)) {
      const connection = openConnection({ ...target, ...placeOf(place) }, connectTimeout)
      shares.opens(place, connection)
      return connection
    }
    const placed = Promise.resolve(place).then(instance => ({ instance, target: { ...target, ...placeOf(instance) } }))
    const connection = openAwaited(
      placed.then(one => one.target),
      database,
      connectTimeout,
    )
    placed.then(
      one => shares.opens(one.instance, connection),
      () => {},
    )
    return connection
  }

  return {
    open(database, target, lost) {
      const id = tenantOfDatabase(database, service) as TenantId
      const place = placements.of(id)
      const remembered = typeof place === 'string'
      const connection = begin(database, target, place)
      let opened = false
      connection.watch(error => {
        doubted.delete(database)
        if (opened || !remembered || !atTheDoor(error)) return lost(error)
        placements.forget(id)
        doubted.add(database)
      })
      connection.opened.then(
        () => {
          opened = true
        },
        () => {},
      )
      return connection
    },
    again: database => doubted.has(database),
    instanceOf,
    shares: {
      opening: database => shares.opening(instanceOf(database) ?? ''),
      full: database => shares.full(instanceOf(database) ?? ''),
      same: (database, other) => instanceOf(database) === instanceOf(other),
    },
  }
}
