// The comparison of this registry with the databases and roles on its instances. Repairs faults that are safe to repair
// (rights, roles, a lost mark), stops tenants that must not be served, reports the rest; old schemas too, since a migration run
// has canaries and this check has none.
// Invariant: a database that is gone is never made again empty, and one without an owner is never dropped.

import type { TenantId } from '../../../events/index.js'
import { DEFAULT_INSTANCE } from '../config/instances.js'
import { type Finding, repairable } from '../databases/findings.js'
import type { Inventory, Strays, TenantStanding } from '../databases/inventory.js'
import type { Drift } from '../diagnostics/steps.js'
import { tenantDatabaseName } from '../names.js'
import { scheduleRetry } from '../registry/attempts.js'
import { writeStatus } from '../registry/status-events.js'
import { demoteReady } from '../registry/tenants-table.js'
import type { ServiceName, SqlClient } from '../types.js'

export interface FleetOptions {
  readonly service: ServiceName
  readonly central: SqlClient
  readonly inspect: () => Promise<Inventory>
  readonly repair: (id: TenantId) => Promise<void>
  /** Takes CONNECT from PUBLIC on one of our own databases. */
  readonly closeToPublic: (database: string, instance: string) => Promise<void>
  /** The newest tenant migration of this release. */
  readonly schemaVersion: number
  readonly drift: (drift: Drift) => void
}

export interface Fleet {
  /** One query for each 500 tenants, and three more, on a clean fleet. */
  check(): Promise<void>
}

const gone: ReadonlySet<Finding> = new Set<Finding>(['database_missing', 'database_invalid'])
const strange: ReadonlySet<Finding> = new Set<Finding>(['database_foreign', 'mark_wrong', 'other_incarnation'])

export function createFleet(options: FleetOptions): Fleet {
  const { service, central, inspect, repair, closeToPublic, schemaVersion, drift } = options

  async function check(): Promise<void> {
    const { tenants, otherInstances, ...home } = await inspect()
    const again: TenantId[] = []
    let behind = 0
    for (const one of tenants) {
      if (one.lifecycle === 'deleted' || one.moving !== null) continue
      if (one.provisioned === 'foreign' && one.findings.includes('other_incarnation')) {
        report('other_incarnation', one.id, 'reported', `${one.database} was made for an earlier tenant of this id`)
      }
      if (one.provisioned !== 'ready') continue
      if (one.findings.length > 0) {
        if (await judge(one)) again.push(one.id)
      } else if ((one.schemaVersion ?? 0) < schemaVersion) {
        behind++
      }
    }
    if (behind > 0) {
      report(
        'schema_behind',
        service,
        'reported',
        `tenants are behind version ${schemaVersion}: run distributed-tenant migrate`,
      )
    }
    for (const place of [{ instance: DEFAULT_INSTANCE, ...home }, ...otherInstances]) await judgeStrays(place, tenants)
    if (again.length > 0) await scheduleRetry(central, again)
  }

  async function judgeStrays(
    { instance, strayDatabases, strayRoles, openDatabases }: Strays & { readonly instance: string },
    tenants: readonly TenantStanding[],
  ): Promise<void> {
    const where = instance === DEFAULT_INSTANCE ? '' : ` (on the instance ${instance})`
    const coming = strayDatabases.length + strayRoles.length > 0 ? await beingCopied() : new Set<string>()
    for (const name of strayDatabases)
      if (!coming.has(name)) report('stray_database', name, 'reported', `no tenant of this registry owns it${where}`)
    for (const name of strayRoles)
      if (!coming.has(name)) report('stray_role', name, 'reported', `no tenant of this registry owns it${where}`)
    const ours = new Set(
      tenants
        .filter(one => one.instance === instance && !one.findings.includes('database_foreign'))
        .map(one => one.database),
    )
    for (const name of openDatabases) {
      // A creation was killed before its first revoke, and its tenant deleted since: no other part would close it.
      if (ours.has(name)) await closeToPublic(name, instance)
      report('open_database', name, ours.has(name) ? 'repaired' : 'reported', `PUBLIC may connect to it${where}`)
    }
  }

  /** By an import or a move that runs or was killed: `doctor` names these. Their rows come, or change their instance, at its end. */
  async function beingCopied(): Promise<Set<string>> {
    const rows = await central<{ id: TenantId }[]>`
      select tenant_id as id from transfer_tenants join transfers on transfers.id = transfer_id
      where kind in ('import', 'move') and step not in ('pending', 'ready', 'switched', 'dropped', 'undone', 'failed')`
    return new Set(rows.map(({ id }) => tenantDatabaseName(id, service)))
  }

  /** @returns whether provisioning it again may cure it */
  async function judge({ id, database, findings }: TenantStanding): Promise<boolean> {
    const missing = findings.find(one => gone.has(one))
    if (missing) {
      await stop(id, 'failed', `The database ${database} is gone: restore it from a backup under its name, then retry.`)
      report(missing, id, 'stopped', `${database} was ready and is gone; it is not made again empty`)
      return false
    }
    const foreign = findings.find(one => strange.has(one))
    if (foreign) {
      await stop(id, 'foreign', `The database ${database} does not carry this tenant’s mark: inspect it, then retry.`)
      report(foreign, id, 'stopped', `${database} is not the database that this tenant was served from`)
      return false
    }
    if (findings.includes('mark_missing')) {
      // The certificate inside proves its tenant; until that was read, no tenant is served from it.
      await demoteReady(central, id, { provisioned: 'pending', step: 'certificate', error: 'the mark was lost' })
      report('mark_missing', id, 'repaired', `${database} is checked, and marked again if it is this tenant’s`)
      return true
    }
    const curable = findings.filter(one => repairable.has(one))
    // Every new tenant's mark is without its incarnation until the feed has brought it: no drift.
    const cured = curable.filter(one => one !== 'mark_incomplete')
    if (curable.length > 0) {
      try {
        await repair(id)
        if (cured.length > 0) report(cured.join(' '), id, 'repaired', `rights of ${database}`)
      } catch (error) {
        // Its role has a key that this process does not have, say: one tenant's fault keeps no other from being checked.
        report(curable.join(' '), id, 'reported', (error as Error).message)
      }
    }
    for (const one of findings) if (!repairable.has(one)) report(one, id, 'reported', database)
    return false
  }

  async function stop(id: TenantId, provisioned: 'failed' | 'foreign', error: string): Promise<void> {
    await central.begin(async tx => {
      const row = await demoteReady(tx, id, { provisioned, step: 'database', error })
      if (!row) return
      const foreign = provisioned === 'foreign'
      await writeStatus(tx, service, row, { status: 'failed', step: 'database', error, ...(foreign && { foreign }) })
    })
  }

  function report(kind: string, id: string, action: Drift['action'], detail: string): void {
    drift({ type: 'drift', kind, id, action, detail })
  }

  return { check }
}
