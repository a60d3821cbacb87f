// The database that a move leaves behind: closed to all logins and renamed, until the operator drops it or the tenant is
// purged. Invariant: only a database with this tenant's and service's mark of a move is dropped.

import type { TenantId } from '../../../events/index.js'
import { dropDatabase, dropRole, inspectDatabase } from '../databases/databases.js'
import { type KeptOf, parseKeptMark } from '../databases/marks.js'
import { DatabaseForeign } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { ServiceName, SessionClient } from '../types.js'

/** `moved_{id}_{service}`: at most 62 bytes, and no tenant database by its name. */
export const keptName = (id: TenantId, service: ServiceName): string => `moved_${id}_${service}`

/**
 * Drops it, and the tenant's role on that instance unless its database is there. Absent is fine.
 * @returns whether there was one
 * @throws TENANT_DATABASE_FOREIGN when its name is held by another database
 */
export async function dropKept(at: SessionClient, { id, service, incarnation }: KeptOf): Promise<boolean> {
  const name = keptName(id, service)
  const found = await inspectDatabase(at, name)
  if (found.state === 'absent') return false
  const mark = found.state === 'present' && found.ours ? parseKeptMark(found.comment, id, service) : null
  const other = incarnation !== null && mark?.incarnation != null && mark.incarnation !== incarnation
  if (found.state === 'present' && (mark === null || other)) {
    throw new DatabaseForeign(
      `${name} carries no mark of a move of this tenant and was not dropped: inspect it by hand.`,
    )
  }
  await dropDatabase(at, name)
  const role = tenantDatabaseName(id, service)
  if ((await inspectDatabase(at, role)).state === 'absent') await dropRole(at, role)
  return true
}
