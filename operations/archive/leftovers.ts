// The leftovers of killed restores and backups beside tenants' databases, and the removal of those whose run is over.
// Invariant: a database that had a tenant's name before is dropped only under the lock of its provisioning, once the tenant is
// active and ready here and the database under its name carries its own mark, as the provisioner writes it after the restore:
// then no run may put the old one back. A database that is being built, or waits for identity, belongs to its restore.

import { dropDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markFits, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { ifUnlocked, lockNames } from '../../postgres/advisory-locks.js'
import type { TransferParts } from '../copying/parts.js'
import { dropLeft, leftByRehearsals } from '../copying/rehearsal.js'
import { pastName } from './tenant-place.js'

export interface Leftover {
  readonly database: string
  readonly instance: string
  /** Set when its restore is over, so that nothing needs it any more. */
  readonly remove: (() => Promise<void>) | null
}

/** On one instance; changes nothing. */
export async function leftByRestores(parts: TransferParts, instance: string): Promise<Leftover[]> {
  const { service, placeAt } = parts
  return placeAt(instance).session(async sql => {
    const rows = await sql<{ database: string }[]>`
      select datname as database from pg_database where datname ~ ${`^(copy|past)_${service}_`} order by 1`
    const left: Leftover[] = []
    for (const database of await leftByRehearsals(sql, service)) {
      const remove = () => placeAt(instance).session(async at => void (await dropLeft(at, database)))
      left.push({ database, instance, remove })
    }
    for (const { database } of rows) {
      const id = database.slice(`past_${service}_`.length) as TenantId
      const over = database === pastName(id, service) && (await isOver(parts, { id, instance, sql }))
      left.push({ database, instance, remove: over ? () => remove(parts, id, instance) : null })
    }
    return left
  })
}

async function isOver(
  { service, central }: TransferParts,
  { id, instance, sql }: { id: TenantId; instance: string; sql: QueryClient },
): Promise<boolean> {
  const row = await findTenant(central, id)
  if (row?.lifecycle !== 'active' || row.provisioned !== 'ready' || row.moving !== null) return false
  if (row.instance !== instance || row.certificate === null) return false
  const found = await inspectDatabase(sql, tenantDatabaseName(id, service))
  const past = await inspectDatabase(sql, pastName(id, service))
  if (found.state !== 'present' || !found.ours || past.state === 'absent') return false
  if (past.state === 'present' && !past.ours) return false
  const mark = parseMark(found.comment)
  const { certificate, incarnation } = row
  return (
    mark !== null && markFits(mark, { tenant: id, service, certificate, incarnation }) && mark.restore === undefined
  )
}

async function remove(parts: TransferParts, id: TenantId, instance: string): Promise<void> {
  const name = pastName(id, parts.service)
  const drop = (): Promise<void> =>
    parts.placeAt(instance).session(async sql => {
      if (!(await isOver(parts, { id, instance, sql }))) {
        throw new TransferRefused(`${id} has changed meanwhile: ${name} was left, look again.`)
      }
      await dropDatabase(sql, name)
    })
  await parts.session(held =>
    ifUnlocked(held, lockNames.provision(id), drop, () => {
      throw new TransferRefused(
        `${id} is being worked on by another process: ${name} was left, look again in a moment.`,
      )
    }),
  )
}
