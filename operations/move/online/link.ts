// The names of what a move without a freeze makes on the two instances, for the one direction and for the way back, and their
// journal. Everything is named by its run, so that what a killed process has left is found and dropped. Types and names only.

import { keptName } from '../../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { ServiceName, TenantId } from '../../../plugins/distributed-tenant/types.js'

export const PREFIX = 'fdt_move_'

/** One database on one instance. */
export interface Spot {
  readonly instance: string
  readonly database: string
}

/** One direction of replication: the subscription is at `to`, all else at `from`. */
export interface Link {
  readonly id: TenantId
  readonly from: Spot
  readonly to: Spot
  /** In both databases. */
  readonly publication: string
  readonly slot: string
  /** A second slot, from which the keys of changed rows are read for the comparison. */
  readonly checkSlot: string
  readonly subscription: string
  /** A login of this run at `from`, for the subscription alone. */
  readonly role: string
}

export interface Route {
  readonly id: TenantId
  readonly run: string
  readonly from: Spot
  readonly to: Spot
}

const nameOf = (run: string): string => PREFIX + run.replaceAll('-', '_')

export function linkOf({ id, run, from, to }: Route): Link {
  const name = nameOf(run)
  return {
    id,
    from,
    to,
    publication: name,
    slot: name,
    checkSlot: `${name}_check`,
    subscription: name,
    role: name,
  }
}

/** From where the tenant is now to where it was. `to` has the name of a database that a move has left. */
export function wayBackOf({ id, run, from, to }: Route): Link {
  const name = `${nameOf(run)}_back`
  return { ...linkOf({ id, run, from, to }), slot: name, checkSlot: `${name}_check`, subscription: name, role: name }
}

/** Both directions of a run. */
export function routesOf(how: {
  readonly service: ServiceName
  readonly run: string
  readonly from: string
  readonly to: string
}) {
  const { service, run, from, to } = how
  const routeOf = (id: TenantId): Route => {
    const database = tenantDatabaseName(id, service)
    return { id, run, from: { instance: from, database }, to: { instance: to, database } }
  }
  const backOf = (id: TenantId): Link =>
    wayBackOf({ ...routeOf(id), from: routeOf(id).to, to: { instance: from, database: keptName(id, service) } })
  return { routeOf, backOf }
}

/** The run that a name was made for; null for another one's. */
export function runOfName(name: string): string | null {
  const found = /^fdt_move_(\d{8})_([0-9a-f]{6})(?:_[0-9a-f]{8})?(?:_back)?(?:_check)?$/.exec(name)
  return found ? `${found[1]}-${found[2]}` : null
}

/** How rows of a table are identified in the log, where a move has changed that. */
export interface Identity {
  /** As a statement names it. */
  readonly table: string
  /** The clause of `replica identity` that is set for the move, and the one from before. */
  readonly during: string
  readonly before: string
}

/** The journal's column `online`; null for a move by the frozen way. */
export interface OnlineState {
  readonly identities: readonly Identity[]
  /** Milliseconds: the limits of the switch. */
  readonly limits: SwitchLimits
  /** Whether the old copy follows after the switch. */
  readonly follow: boolean
  /** Of the target's definitions at the switch: while they stay so, the old copy can follow. */
  readonly printThere?: string
  /** Materialized views that had rows at the source before the switch. */
  readonly views?: readonly string[]
  /** The source's own connection limit: that of a copy which follows is 0. */
  readonly connectionLimit?: number
}

export interface SwitchLimits {
  /** What a transaction under way may still take while new statements wait. */
  readonly transactionMs: number
  /** All of the switch: past it the tenant goes on where it was, and the switch is tried again. */
  readonly holdMs: number
  /** How long the switch waits before it begins for transactions that are older than `transactionMs`. */
  readonly quietMs: number
}
