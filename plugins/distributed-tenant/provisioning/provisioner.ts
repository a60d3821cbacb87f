// The provisioning of a tenant here: a spare taken in one statement, or claim, database, certificate, rights, schema, ready.
// Invariants: every step can be run again after a kill at any moment; one tenant is worked on by one process at a time
// (advisory lock on the central database); "ready", the mark, the role's login and the status event are one transaction; on
// another instance than the registry's the mark and the login come first, and can be repeated. A failure is recorded with its
// step and thrown on. "Ready" is written by the function in migrations/functions/take_spare.sql as well: a change of one is a
// change of both.

import type { TenantId } from '../../../events/index.js'
import { lockNames, withLock } from '../../../postgres/advisory-locks.js'
import { builtBy, type MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { appliedVersion, migrate } from '../../../postgres/migrations/migrations.js'
import type { Credentials } from '../credentials/role-credentials.js'
import { commentDatabase, endUninvited } from '../databases/databases.js'
import type { InstancesAccess } from '../databases/instance-access.js'
import { type Mark, markText } from '../databases/marks.js'
import { closeOtherDatabases, noteKey, openRole, openRoleAt, prepareRole } from '../databases/roles.js'
import type { Spares } from '../databases/spares.js'
import type { ProvisionStep } from '../diagnostics/steps.js'
import { DatabaseForeign } from '../errors.js'
import { isUnplaced } from '../instances/choose-instance.js'
import { tenantDatabaseName } from '../names.js'
import { recordAttempt, retryDelayMs } from '../registry/attempts.js'
import { writeStatus } from '../registry/status-events.js'
import { findTenant, recordFailure, recordReady } from '../registry/tenants-table.js'
import type { RegistryRow, ServiceName, SessionClient, SqlClient } from '../types.js'
import { certify, ensureDatabase } from './own-database.js'

export interface ProvisionerOptions {
  readonly service: ServiceName
  readonly credentials: Credentials
  readonly spares: Pick<Spares, 'take'>
  readonly central: SqlClient
  readonly instances: InstancesAccess
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  readonly report: (event: { step: ProvisionStep | 'failed'; id: TenantId; ms: number; error?: unknown }) => void
}

export interface Provisioner {
  /**
   * @returns the row as it is now; null for an unknown or deleted tenant, which is not provisioned
   * @throws TENANT_DATABASE_FOREIGN when the name is held by a database that is not ours, TENANT_DATABASE_MISSING when its
   *   own is gone, else the error of the step
   */
  provision(id: TenantId): Promise<RegistryRow | null>
  /** The instance it is on or will be on. The same for ever but for a move: it is decided once, under the tenant's lock. */
  place(id: TenantId): Promise<string>
}

export function createProvisioner(options: ProvisionerOptions): Provisioner {
  const { service, credentials, instances, sets } = options
  const tenantSet = sets.at(-1) as MigrationSet
  const built = builtBy(sets)

  async function provision(id: TenantId): Promise<RegistryRow | null> {
    // With one instance nothing has to be chosen first, under the tenant's lock.
    const made = instances.several ? undefined : await bySpare(id)
    return made === undefined ? stepByStep(id) : made
  }

  /** @returns undefined when it has to be made step by step */
  async function bySpare(id: TenantId, holder?: SessionClient): Promise<RegistryRow | null | undefined> {
    const began = performance.now()
    const taking = await options.spares.take(id, holder)
    if (taking === 'no') return undefined
    if (taking === 'taken') options.report({ step: 'ready', id, ms: performance.now() - began })
    return taking === 'gone' ? null : findTenant(holder ?? options.central, id)
  }

  function locked<T>(id: TenantId, work: (sql: SessionClient) => Promise<T>): Promise<T> {
    return instances.home.session(sql => withLock(sql, lockNames.provision(id), () => work(sql)))
  }

  const stepByStep = (id: TenantId): Promise<RegistryRow | null> =>
    locked(id, async sql => {
      const row = await findTenant(sql, id)
      if (!row || row.lifecycle === 'deleted') return null
      // Only the move changes its databases and role until it is over.
      if (row.moving !== null) return row
      // A newer release may have migrated it already while this one still runs.
      const inPlace = row.provisioned === 'ready' && (row.schemaVersion ?? 0) >= tenantSet.version
      if (inPlace && (await roleStands(sql, row))) return row
      const instance = await instances.settle(sql, row)
      // With one instance it was tried before.
      const spare = instances.several && instance === instances.home.name
      const made = spare ? await bySpare(id, sql) : undefined
      return made === undefined ? work(sql, { ...row, instance }) : made
    })

  async function place(id: TenantId): Promise<string> {
    const { home, several, settle } = instances
    if (!several) return home.name
    const known = await findTenant(options.central, id)
    if (!known || !isUnplaced(known)) return known?.instance ?? home.name
    return locked(id, async sql => {
      const row = await findTenant(sql, id)
      return row ? settle(sql, row) : home.name
    })
  }

  /** By the registry and the catalogues; rights and attributes are compared by the reconciler. */
  async function roleStands(sql: SessionClient, { id, instance }: RegistryRow): Promise<boolean> {
    const noted = await sql`select 1 from tenants where id = ${id} and role_key = ${credentials.current}`
    if (noted.length === 0) return false
    const rows = await instances
      .at(instance)
      .beside(
        sql,
        there => there`select 1 from pg_roles where rolname = ${tenantDatabaseName(id, service)} and rolcanlogin`,
      )
    return rows.length > 0
  }

  async function work(sql: SessionClient, row: RegistryRow): Promise<RegistryRow> {
    const steps: { step: ProvisionStep; at: string }[] = []
    let at = performance.now()
    let doing: ProvisionStep = 'claim'
    const done = (next: ProvisionStep): void => {
      options.report({ step: doing, id: row.id, ms: performance.now() - at })
      steps.push({ step: doing, at: new Date().toISOString() })
      at = performance.now()
      doing = next
    }
    const name = tenantDatabaseName(row.id, service)
    let wasOpen = false
    async function prepare(there: SessionClient): Promise<void> {
      done('rights')
      await closeOtherDatabases(there, name)
      await prepareRole(there, name, service)
      if (wasOpen) await endUninvited(there, name)
      done('schema')
    }
    async function build(inside: SqlClient, there: SessionClient): Promise<string> {
      const written = await certify(inside, row, name)
      await prepare(there)
      await migrateInside(inside)
      return written
    }
    try {
      await recordAttempt(sql, row.id)
      done('database')
      const roles = { service, credentials }
      const place = instances.at(row.instance)
      const isHome = place === instances.home
      const certificate = await place.beside(sql, async there => {
        const { mark, toPublic } = await ensureDatabase(there, place, row, service)
        wasOpen = toPublic
        done('certificate')
        const known = isBuilt(mark) ? mark.certificate : await place.visit(name, inside => build(inside, there))
        if (isBuilt(mark)) await prepare(there)
        done('ready')
        if (!isHome) {
          await there.begin(async tx => {
            await commentDatabase(tx, name, markOf(row, known))
            await openRoleAt(tx, sql, row.id, roles)
          })
        }
        return known
      })
      const ready = await sql.begin(async tx => {
        if (isHome) {
          await commentDatabase(tx, name, markOf(row, certificate))
          await openRole(tx, tx, row.id, roles)
        } else await noteKey(tx, row.id, roles)
        const now = await recordReady(tx, row, { certificate, schemaVersion: tenantSet.version })
        steps.push({ step: 'ready', at: new Date().toISOString() })
        await writeStatus(tx, service, now, { status: 'ready', step: 'ready', steps, schemaVersion: tenantSet.version })
        return now
      })
      options.report({ step: 'ready', id: row.id, ms: performance.now() - at })
      return ready
    } catch (error) {
      await recordFailed(sql, row, doing, error)
      throw error
    }
  }

  const markOf = ({ id, incarnation }: RegistryRow, certificate: string): string =>
    markText({ tenant: id, service, certificate, incarnation })

  /**
   * An import or restore by this very release has certified and migrated it, and recorded that in the mark, which a tenant
   * cannot write: a connection would cost a process of the server and find nothing to do. The mark that comes with "ready" no
   * longer has it.
   */
  const isBuilt = (mark: Mark | null): mark is Mark => mark?.built === built

  /** A clone is at the template's version already, and then one query is enough. */
  async function migrateInside(inside: SqlClient): Promise<void> {
    for (const set of sets) {
      if ((await appliedVersion(inside, set.name)) !== set.version) await migrate(inside, set)
    }
  }

  async function recordFailed(
    sql: SessionClient,
    row: RegistryRow,
    step: ProvisionStep,
    error: unknown,
  ): Promise<void> {
    options.report({ step: 'failed', id: row.id, ms: 0, error })
    const message = (error instanceof Error ? error.message : String(error)).slice(0, 500)
    const isForeign = error instanceof DatabaseForeign
    try {
      await sql.begin(async tx => {
        const now = await recordFailure(tx, row.id, {
          provisioned: isForeign ? 'foreign' : 'failed',
          step,
          error: message,
          retryInMs: isForeign ? null : retryDelayMs(row.attempts + 1),
        })
        const nextTryAt = now.nextAttemptAt?.toISOString()
        await writeStatus(tx, service, now, {
          status: 'failed',
          step,
          error: message,
          ...(isForeign && { foreign: true }),
          ...(nextTryAt && { nextTryAt }),
        })
      })
    } catch (second) {
      // The database that refuses the step refuses the record too: the event stays unacknowledged and is delivered again.
      options.report({ step: 'failed', id: row.id, ms: 0, error: second })
    }
  }

  return { provision, place }
}
