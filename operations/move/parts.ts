// The parts that a move needs: one service with several instances, and its notifications. Types only.

import type { InstanceAddress } from '../../plugins/distributed-tenant/config/instances.js'
import type { Credentials } from '../../plugins/distributed-tenant/credentials/role-credentials.js'
import type { SessionClient, SqlClient } from '../../plugins/distributed-tenant/types.js'
import type { TransferParts } from '../copying/parts.js'

export interface MoveParts extends TransferParts {
  /** The default instance first. */
  readonly instances: readonly InstanceAddress[]
  readonly sessionAt: (instance: string) => <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
  readonly withDirectConnection: <T>(
    database: string,
    fn: (sql: SqlClient) => Promise<T>,
    instance?: string,
  ) => Promise<T>
  readonly credentials: Credentials
}

/** The column `source` of a run of the kind `move`: where from and where to. */
export const routeText = (from: string, to: string): string => `${from}>${to}`

export function parseRoute(text: string): { readonly from: string; readonly to: string } {
  const [from = '', to = ''] = text.split('>')
  return { from, to }
}
