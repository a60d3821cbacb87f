// Owns the words in which the state of a process, its connections and its tenants is told: to health, metrics and operators.
// Types only: nothing here runs.
import type { ConsumerLag } from '../../events/index.js'
import type { Lifecycle, Provisioned } from './types.js'

export type TenantProbe =
  | 'ready'
  | 'provisioning'
  | 'failed'
  /** Its schema is behind, and such tenants are refused here. */
  | 'outdated'
  | 'suspended'
  /** It is between two instances, and is let in again in a moment. */
  | 'moving'
  | 'not_found'
  | 'unavailable'
  | 'busy'
  | 'unknown'

/** `off`: not configured, so it cannot be down. */
export interface HealthPart {
  readonly status: 'up' | 'down' | 'off'
  readonly latencyMs?: number
  /** Why it is down, without secrets. */
  readonly detail?: string
}

export interface TenancyHealth {
  readonly central: HealthPart
  readonly cache: HealthPart
  readonly events: HealthPart
  /** Down while the instance is short of something and is spared: new tenants wait. */
  readonly provisioning: HealthPart
  /** The instances beside the one of the central database, where there are any. */
  readonly instances?: Readonly<Record<string, HealthPart>>
  readonly connections: ConnectionInfo
}

/** Numbers that take a question. What could not be told within the deadline is null. */
export interface Figures {
  readonly stored: {
    readonly registry: readonly {
      readonly lifecycle: Lifecycle
      readonly provisioned: Provisioned
      readonly count: number
    }[]
    /** Ready tenants whose schema is older than this release's. */
    readonly schemaBehind: number
    /** Rows that wait in the outbox, and the age of the oldest in seconds. */
    readonly outbox: { readonly waiting: number; readonly oldestSeconds: number }
    /** Rows that the stream will never take. */
    readonly outboxRefused: number
    /** Set aside for an operator. */
    readonly deadEvents: number
    /** Set aside until a newer release runs, which replays them by itself. */
    readonly parkedEvents: number
    readonly spares: number
    readonly centralBytes: number
  } | null
  /** By durable. One that is not there yet is null; without NATS all of it is. */
  readonly consumers: Readonly<Record<string, ConsumerLag | null>> | null
}

export interface ConnectionCounts {
  /** Connections counted at the socket, from before connect until the server has let go. */
  readonly open: number
  readonly idle: number
  readonly inUse: number
  readonly opening: number
  /** Statements and transactions that wait for one. */
  readonly waiting: number
}

export interface ConnectionInfo extends ConnectionCounts {
  readonly service: string
  readonly instance: { readonly host: string; readonly port: number }
  readonly budget: number
  /** Connections opened since the start. */
  readonly opened: number
  /** Idle connections closed since the start to make room for another tenant. */
  readonly taken: number
  /** Waits since the start that ended in TENANT_BUSY. */
  readonly refused: number
  /**
   * By name of the database: every tenant that has a connection or waits for one, and those that had one since the start
   * (of more than 10,000 the newest). `taken`: its connections that were closed for another.
   */
  readonly tenants: Readonly<Record<string, TenantConnections>>
  /** By name of the instance; `main` is the one of the central database. */
  readonly instances: Readonly<Record<string, InstanceConnections>>
}

/** As in {@link ConnectionInfo}, of one instance. `budget`: the most of this process's that it may have. */
export interface InstanceConnections extends ConnectionCounts {
  readonly host: string
  readonly port: number
  readonly budget: number
}

/** As in {@link ConnectionInfo}, of one tenant. */
export interface TenantConnections extends ConnectionCounts {
  readonly opened: number
  readonly taken: number
  readonly refused: number
}
