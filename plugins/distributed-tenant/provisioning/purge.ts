// The purge of a deleted tenant here: confirmed, database dropped, then row `removed` and status event in one transaction.
// DROP DATABASE takes no transaction, so the order makes it safe to repeat: after a kill in between the next run finds no
// database and goes on.
// If identity is down or does not confirm, or an old copy follows the tenant since a move: nothing is dropped.

import type { TenantId } from '../../../events/index.js'
import { lockNames, withLock } from '../../../postgres/advisory-locks.js'
import type { Settings } from '../config/settings.js'
import { dropDatabase, dropTenantDatabase, inspectDatabase } from '../databases/databases.js'
import type { InstancesAccess } from '../databases/instance-access.js'
import type { PurgeStep } from '../diagnostics/steps.js'
import { IdentityUnavailable, TenantCopyFollows, TenantMoving, TenantNotFound, TenantRetained } from '../errors.js'
import { followingRun } from '../instances/following-copy.js'
import { dropKept } from '../instances/moved-database.js'
import { tenantDatabaseName } from '../names.js'
import { writeStatus } from '../registry/status-events.js'
import { findTenant, recordRemoved } from '../registry/tenants-table.js'
import type { QueryClient, RegistryRow, ServiceName, SessionClient } from '../types.js'

export interface PurgeOptions {
  readonly service: ServiceName
  readonly instances: InstancesAccess
  /** Whether identity confirms, now, that it is deleted and the retention over. @throws IDENTITY_UNAVAILABLE */
  readonly confirm: (row: RegistryRow) => Promise<boolean>
  readonly report: (event: { step: PurgeStep; id: TenantId }) => void
}

export interface Purger {
  /** @throws TENANT_NOT_FOUND, TENANT_RETAINED, TENANT_COPY_FOLLOWS, IDENTITY_UNAVAILABLE, TENANT_DATABASE_FOREIGN */
  purge(id: TenantId): Promise<RegistryRow>
}

export function createPurger(options: PurgeOptions): Purger {
  const { service, instances, confirm, report } = options

  async function purgeLocked(sql: SessionClient, id: TenantId): Promise<RegistryRow> {
    const row = await findTenant(sql, id)
    if (!row) throw new TenantNotFound()
    if (row.lifecycle !== 'deleted') throw new TenantRetained()
    if (row.provisioned === 'removed') return row
    if (row.moving !== null) throw new TenantMoving()
    if (!(await confirm(row))) throw new TenantRetained()
    const run = await followingRun(sql, id)
    if (run !== null) throw new TenantCopyFollows(run, id, service)
    report({ step: 'confirmed', id })
    // Databases left behind by its moves are the customer's data too, and keep its roles from being dropped.
    if (instances.several) await dropAllKept(sql, row)
    await instances.at(row.instance).beside(sql, there => dropOwn(there, row))
    report({ step: 'dropped', id })
    const removed = await sql.begin(async tx => {
      const now = await recordRemoved(tx, id)
      await writeStatus(tx, service, now, { status: 'removed', step: 'removed' })
      return now
    })
    report({ step: 'removed', id })
    return removed
  }

  async function dropAllKept(sql: SessionClient, { id, incarnation }: RegistryRow): Promise<void> {
    for (const one of instances.all) await one.beside(sql, there => dropKept(there, { id, service, incarnation }))
  }

  async function dropOwn(
    sql: SessionClient,
    { id, provisioned, certificate, incarnation }: RegistryRow,
  ): Promise<void> {
    if (certificate === null) {
      // A foreign database of this name was never the tenant's: there is nothing of ours to drop.
      if (provisioned === 'foreign') return
      const name = tenantDatabaseName(id, service)
      const found = await inspectDatabase(sql, name)
      // Deleted while it was being made: a clone that has no mark yet and has never held anything.
      if (found.state === 'present' && found.ours && found.comment === null) await dropDatabase(sql, name)
    }
    await dropTenantDatabase(sql, { id, service, certificate, incarnation })
  }

  return {
    purge: id =>
      // The provisioner's own lock: the database is not created while it is dropped.
      instances.home.session(sql => withLock(sql, lockNames.provision(id), () => purgeLocked(sql, id))),
  }
}

/**
 * Where tenants are made the row itself confirms; elsewhere identity's feed does, or the application where there is no identity.
 * Without either there is no confirmation.
 */
export function confirmPurge(
  { source, confirmPurge }: Pick<Settings, 'source' | 'confirmPurge'>,
  feed: { tenant(id: TenantId): Promise<{ readonly purgeable: boolean } | null> } | null,
): PurgeOptions['confirm'] {
  if (source) return async ({ purgeAfter }) => purgeAfter !== null && purgeAfter.getTime() <= Date.now()
  if (confirmPurge) return async row => (await confirmPurge(row)) === true
  return async ({ id }) => {
    if (!feed) throw new IdentityUnavailable('IDENTITY_URL or SERVICE_TOKEN is not set')
    return (await feed.tenant(id))?.purgeable ?? false
  }
}

/** Deleted tenants whose retention is over by identity's last state; to be confirmed one by one. */
export async function dueForPurge(sql: QueryClient, limit: number): Promise<TenantId[]> {
  const rows = await sql<{ id: TenantId }[]>`
    select id from tenants
    where lifecycle = 'deleted' and provisioned <> 'removed' and purge_after <= now() order by purge_after limit ${limit}`
  return rows.map(({ id }) => id)
}

/**
 * Where tenants are made: one deleted by hand, or before there was a retention, gets one too. One made by hand, or before
 * there were incarnations, gets an incarnation derived from its row: a copy of this database gives it the same.
 */
export async function completeRows(sql: QueryClient, retentionMs: number): Promise<void> {
  await sql`
    update tenants
    set purge_after = date_trunc('milliseconds', deleted_at + ${retentionMs} * interval '1 millisecond')
    where lifecycle = 'deleted' and purge_after is null`
  await sql`
    update tenants set incarnation = md5(id || ' ' || extract(epoch from created_at)) where incarnation is null`
}
