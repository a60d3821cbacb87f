// Owns what a move leaves behind: the database a tenant came from, closed to everybody and renamed, until the operator
// drops it or the tenant is purged. Invariant: only what carries this tenant's and service's mark of a move is dropped.

import type { TenantId } from '../../../events/index.js'
import { dropDatabase, dropRole, inspectDatabase } from '../databases/databases.js'
import { DatabaseForeign } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { ServiceName, SessionClient } from '../types.js'

/** `moved_{id}_{service}`: at most 62 bytes, and no tenant database by its name. */
export const keptName = (id: TenantId, service: ServiceName): string => `moved_${id}_${service}`

const PREFIX = 'distributed-tenant:moved:v1 '

export const keptMark = (id: TenantId, service: ServiceName, run: string): string =>
  PREFIX + JSON.stringify({ tenant: id, service, run })

/** The run that left it; null when the comment is no such mark of this tenant and service. */
export function parseKeptMark(comment: string | null, id: TenantId, service: ServiceName): string | null {
  if (!comment?.startsWith(PREFIX)) return null
  try {
    const mark = JSON.parse(comment.slice(PREFIX.length))
    return mark.tenant === id && mark.service === service && typeof mark.run === 'string' ? mark.run : null
  } catch {
    return null
  }
}

/**
 * Drops it, and the tenant's role on that instance unless its database is there. Absent is fine.
 * @returns whether there was one
 * @throws TENANT_DATABASE_FOREIGN when its name is held by something else
 */
export async function dropKept(at: SessionClient, id: TenantId, service: ServiceName): Promise<boolean> {
  const name = keptName(id, service)
  const found = await inspectDatabase(at, name)
  if (found.state === 'absent') return false
  if (found.state === 'present' && (!found.ours || parseKeptMark(found.comment, id, service) === null)) {
    throw new DatabaseForeign(
      `${name} carries no mark of a move of this tenant and was not dropped: look into it by hand.`,
    )
  }
  await dropDatabase(at, name)
  const role = tenantDatabaseName(id, service)
  if ((await inspectDatabase(at, role)).state === 'absent') await dropRole(at, role)
  return true
}
