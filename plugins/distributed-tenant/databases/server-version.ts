// The check that a server is new enough for a service. It only reads.
import { ConfigurationInvalid } from '../errors.js'

/** Databases are cloned by a strategy of this version. */
const OLDEST_POSTGRES = 15

export interface ServerVersion {
  /** As the server writes it. */
  readonly version: string
  readonly major: number
}

/** @param where as the operator names it. @throws CONFIGURATION_INVALID */
export function refuseOldServer(where: string, { version, major }: ServerVersion): void {
  if (major >= OLDEST_POSTGRES) return
  throw new ConfigurationInvalid(
    `${where} is PostgreSQL ${version}, which is too old: give the service a server of version ${OLDEST_POSTGRES} or later.`,
  )
}
