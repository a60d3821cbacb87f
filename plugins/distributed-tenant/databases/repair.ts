// The repair of one tenant's rights and role, on the instance where it is. Invariants: only a database that carries the
// tenant's mark is changed, under the tenant's lock, and none that is being moved. Safe to repeat. Also the queue of repairs
// after a refused login (a changed password, LOGIN or CONNECT taken away): in the background, at most once a minute for each
// tenant.
// If the central database is down: nothing is repaired, and the next refused login tries again.

import { LRUCache } from 'lru-cache'
import type { TenantId } from '../../../events/index.js'
import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import type { Credentials } from '../credentials/role-credentials.js'
import type { RoleReport } from '../diagnostics/steps.js'
import { DatabaseForeign } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { ServiceName, SessionClient } from '../types.js'
import { commentDatabase, endUninvited, inspectDatabase } from './databases.js'
import type { InstanceAccess, InstancesAccess } from './instance-access.js'
import { markFits, markText, parseMark } from './marks.js'
import { openRole, prepareRole } from './roles.js'

export interface RepairOptions {
  readonly service: ServiceName
  readonly credentials: Credentials
  readonly instances: InstancesAccess
  readonly provision: (id: TenantId) => Promise<unknown>
}

/**
 * Restores the rights on a tenant's database, its role and its verifier. Safe to repeat. A tenant of a release before there
 * were roles is provisioned instead: its group's rights inside are missing too.
 * @throws TENANT_DATABASE_FOREIGN when there is no database that carries this tenant's mark, TENANT_ROLE_KEY_UNKNOWN
 */
export async function repairTenant(id: TenantId, options: RepairOptions): Promise<void> {
  const repaired = await options.instances.home.session(sql => repairRole(sql, id, options))
  if (!repaired) await options.provision(id)
}

/** @returns false for a tenant that never had a role; nothing is changed then */
async function repairRole(sql: SessionClient, id: TenantId, options: RepairOptions): Promise<boolean> {
  const { service, instances } = options
  const name = tenantDatabaseName(id, service)
  let where: InstanceAccess | null = null
  const repaired = await sql.begin(async tx => {
    await lockTransaction(tx, lockNames.provision(id))
    const [row] = await tx<
      {
        certificate: string | null
        incarnation: string | null
        key: string | null
        instance: string
        moving: string | null
      }[]
    >`
      select certificate, incarnation, role_key as key, instance, moving from tenants where id = ${id}`
    // The move has set them.
    if (row && row.moving !== null) return true
    const place = row ? instances.at(row.instance) : instances.home
    return place.transactionBeside(tx, async at => {
      const found = await inspectDatabase(at, name)
      const mark = found.state === 'present' && found.ours ? parseMark(found.comment) : null
      const { certificate = null, incarnation = null } = row ?? {}
      if (!mark || !markFits(mark, { tenant: id, service, certificate, incarnation })) {
        throw new DatabaseForeign(
          `There is no database ${name} that carries this tenant’s mark, so its rights were left as they are: inspect it by hand.`,
        )
      }
      if (incarnation !== null && mark.incarnation === undefined && mark.restore === undefined) {
        await commentDatabase(at, name, markText({ ...mark, incarnation }))
      }
      if (!row?.key) return false
      await prepareRole(at, name, service)
      await openRole(at, tx, id, options)
      where = place
      return true
    })
  })
  // After the commit: until then they could connect again.
  await (where as InstanceAccess | null)?.beside(sql, at => endUninvited(at, name))
  return repaired
}

export interface RoleRepairQueue {
  schedule(id: TenantId): void
}

const MINUTE_MS = 60_000

export function createRoleRepairQueue(
  repair: (id: TenantId) => Promise<void>,
  report: (event: RoleReport) => void,
): RoleRepairQueue {
  const lately = new LRUCache<TenantId, true>({ max: 1_000, ttl: MINUTE_MS })
  return {
    schedule(id) {
      if (lately.has(id)) return
      lately.set(id, true)
      report({ type: 'login_refused', id })
      repair(id).then(
        () => report({ type: 'repaired', id }),
        error => {
          lately.delete(id)
          report({ type: 'repair_failed', id, error })
        },
      )
    },
  }
}
