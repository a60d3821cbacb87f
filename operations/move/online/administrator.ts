// The administrator's sessions on the two instances, for what a service's role may not do: slots, subscriptions, a login for
// replication. Used while a move runs, and kept nowhere: the subscription logs in by a role of the run's own.

import { TransferFailed } from '../../../plugins/distributed-tenant/errors.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { createArrayTypes } from '../../../postgres/connections/array-types.js'
import { connectorOf } from '../../../postgres/connections/primary.js'
import { tlsOptions } from '../../../postgres/connections/target.js'
import { APPLICATION, createInstance, type Instance } from '../../copying/external-instance.js'
import type { MoveParts } from '../parts.js'
import { instanceAt } from '../reach-instance.js'
import type { Spot } from './link.js'

export interface Login {
  readonly user: string
  readonly password: string | undefined
}

export interface Administrator {
  readonly user: string
  /** A session in a database of an instance; without a name in `postgres`. */
  at<T>(instance: string, fn: (sql: SessionClient) => Promise<T>, database?: string): Promise<T>
  /** Makes a slot and runs `work` while the snapshot of its beginning can be used, by its name. */
  withSlot<T>(spot: Spot, slot: string, work: (snapshot: string) => Promise<T>): Promise<T>
  close(): Promise<void>
}

const CONNECT_MS = 10_000

/** In a session that is idle while the other side works, in a transaction or not. */
export const WITHOUT_TIMEOUTS = `select set_config(name, '0', false) from pg_settings
  where name in ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')`

export function createAdministrator(parts: MoveParts, { user, password }: Login): Administrator {
  const places = new Map(
    parts.instances.map(({ name }) => {
      const { address } = instanceAt(parts, name)
      return [name, createInstance({ ...address, user, password, database: 'postgres' }, `instance ${name}`)] as const
    }),
  )
  return administratorOf(places, user)
}

/** @param places by their names, each by the administrator's login there. @param user for messages */
export function administratorOf(places: ReadonlyMap<string, Instance>, user: string): Administrator {
  const placeOf = (name: string) => places.get(name) as Instance

  return {
    user,
    at: (instance, fn, database) =>
      placeOf(instance).withDirectConnection(async sql => {
        await sql.unsafe(`${WITHOUT_TIMEOUTS}; set default_transaction_read_only = off`)
        return fn(sql)
      }, database),
    async withSlot({ instance, database }, slot, work) {
      const { address } = placeOf(instance)
      const { host, port, user: login, password } = address
      // A session of the replication protocol: only its command hands out a snapshot.
      const connection = connectorOf(address)(
        {
          host,
          port,
          database,
          user: login,
          password,
          tls: tlsOptions(address),
          applicationName: APPLICATION,
          statementTimeout: 0,
          replication: true,
          arrayTypes: createArrayTypes({ ofDatabases: false }),
        },
        CONNECT_MS,
      )
      try {
        await connection.opened
        await connection.run(WITHOUT_TIMEOUTS)
        const rows = (await connection.run(
          `CREATE_REPLICATION_SLOT "${slot}" LOGICAL pgoutput (SNAPSHOT 'export')`,
        )) as unknown as { snapshot_name: string }[]
        const snapshot = rows[0]?.snapshot_name
        if (!snapshot) throw new TransferFailed(`The slot ${slot} has no snapshot: begin again.`)
        return await work(snapshot)
      } finally {
        await connection.close()
      }
    },
    async close() {
      for (const place of places.values()) await place.close()
    },
  }
}
