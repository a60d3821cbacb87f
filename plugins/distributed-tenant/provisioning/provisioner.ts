// The provisioning of a tenant here: a spare taken in one statement, or claim, database, certificate, rights, schema, ready.
// Invariants: every step can be run again after a kill at any moment; one tenant is worked on by one process at a time
// (advisory lock on the central database); "ready", the mark, the role's login and the status event are one transaction; on
// another instance than the registry's the mark and the login come first, and can be repeated. A failure is recorded with its
// step and thrown on. A database that was ready once and is gone is never made again: that would hide the loss.

import { randomBytes } from 'node:crypto'
import type { TenantId } from '../../../events/index.js'
import { lockNames, withLock } from '../advisory-locks.js'
import { DEFAULT_INSTANCE } from '../config/instances.js'
import type { Credentials } from '../credentials/role-credentials.js'
import {
  commentDatabase,
  dropDatabase,
  endUninvited,
  type Found,
  inspectDatabase,
  openToOwner,
} from '../databases/databases.js'
import { type Mark, markFits, markText, mayFitLater, parseMark } from '../databases/marks.js'
import { builtBy, type MigrationSet } from '../databases/migration-files.js'
import { appliedVersion, migrate } from '../databases/migrations.js'
import { closeOtherDatabases, noteKey, openRole, openRoleAt, prepareRole } from '../databases/roles.js'
import type { Spares } from '../databases/spares.js'
import type { ProvisionStep } from '../diagnostics/steps.js'
import { DatabaseForeign, DatabaseMissing, TenantDatabaseUnavailable, TenantUnconfirmed } from '../errors.js'
import { isUnplaced, settlePlace } from '../instances/choose-instance.js'
import { tenantDatabaseName } from '../names.js'
import { ATTEMPT_LEASE_MS, retryDelayMs } from '../registry/attempts.js'
import { writeStatus } from '../registry/status-events.js'
import { findTenant, recordAttempt, recordFailure, recordReady } from '../registry/tenants-table.js'
import type { RegistryRow, ServiceName, SessionClient, SqlClient } from '../types.js'

export interface ProvisionerOptions {
  readonly service: ServiceName
  readonly credentials: Credentials
  readonly spares: Pick<Spares, 'take'>
  readonly central: SqlClient
  /** A session on the central database: DDL and session locks need one. */
  readonly session: <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
  /** Set when the service has more instances: a session on one of them, and those that take new tenants now. */
  readonly otherInstances: {
    readonly sessionAt: (instance: string) => <T>(fn: (sql: SessionClient) => Promise<T>) => Promise<T>
    readonly candidates: () => readonly string[]
    readonly answers: (instance: string) => Promise<boolean>
  } | null
  /** Clones an instance's template under a name; on the caller's session, so that it never waits for another. */
  readonly clone: (sql: SessionClient, name: string, instance: string) => Promise<boolean>
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  readonly withDirectConnection: <T>(
    database: string,
    fn: (sql: SqlClient) => Promise<T>,
    instance?: string,
  ) => Promise<T>
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
  const { service, credentials, session, sets, withDirectConnection, otherInstances } = options
  const tenantSet = sets.at(-1) as MigrationSet
  const built = builtBy(sets)

  async function provision(id: TenantId): Promise<RegistryRow | null> {
    if (otherInstances) return stepByStep(id)
    const at = performance.now()
    const taking = await options.spares.take(id)
    if (taking === 'gone') return null
    if (taking === 'taken') options.report({ step: 'ready', id, ms: performance.now() - at })
    return taking === 'no' ? stepByStep(id) : findTenant(options.central, id)
  }

  function locked<T>(id: TenantId, work: (sql: SessionClient) => Promise<T>): Promise<T> {
    return session(sql => withLock(sql, lockNames.provision(id), () => work(sql)))
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
      if (!otherInstances) {
        // Placed by a process with more instances: made here too it would exist twice.
        if (row.instance !== DEFAULT_INSTANCE) throw new TenantDatabaseUnavailable()
        return work(sql, row)
      }
      const instance = await settlePlace(sql, row, { service, ...otherInstances })
      const began = performance.now()
      const taking = instance === DEFAULT_INSTANCE ? await options.spares.take(id, sql) : 'no'
      if (taking === 'no') return work(sql, { ...row, instance })
      if (taking === 'taken') options.report({ step: 'ready', id, ms: performance.now() - began })
      return taking === 'gone' ? null : findTenant(sql, id)
    })

  async function place(id: TenantId): Promise<string> {
    if (!otherInstances) return DEFAULT_INSTANCE
    const known = await findTenant(options.central, id)
    if (!known || !isUnplaced(known)) return known?.instance ?? DEFAULT_INSTANCE
    return locked(id, async sql => {
      const row = await findTenant(sql, id)
      return row ? settlePlace(sql, row, { service, ...otherInstances }) : DEFAULT_INSTANCE
    })
  }

  /** Work on the instance where a tenant is; at home on the given session. */
  function thereOf<T>(instance: string, sql: SessionClient, fn: (sql: SessionClient) => Promise<T>): Promise<T> {
    return instance === DEFAULT_INSTANCE || !otherInstances ? fn(sql) : otherInstances.sessionAt(instance)(fn)
  }

  /** By the registry and the catalogues; rights and attributes are compared by the reconciler. */
  async function roleStands(sql: SessionClient, { id, instance }: RegistryRow): Promise<boolean> {
    const noted = await sql`select 1 from tenants where id = ${id} and role_key = ${credentials.current}`
    if (noted.length === 0) return false
    const rows = await thereOf(
      instance,
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
      await recordAttempt(sql, row.id, ATTEMPT_LEASE_MS)
      done('database')
      const roles = { service, credentials }
      const certificate = await thereOf(row.instance, sql, async there => {
        const { mark, toPublic } = await ensureDatabase(there, row, name)
        wasOpen = toPublic
        done('certificate')
        const known = isBuilt(mark)
          ? mark.certificate
          : await withDirectConnection(name, inside => build(inside, there), row.instance)
        if (isBuilt(mark)) await prepare(there)
        done('ready')
        if (there !== sql) {
          await there.begin(async tx => {
            await commentDatabase(tx, name, markOf(row, known))
            await openRoleAt(tx, sql, row.id, roles)
          })
        }
        return known
      })
      const ready = await sql.begin(async tx => {
        if (row.instance === DEFAULT_INSTANCE) {
          await commentDatabase(tx, name, markOf(row, certificate))
          await openRole(tx, row.id, roles)
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

  /**
   * After this the name is held by a database that is ours, finished or not, and that its owner can enter.
   * @returns its mark, where it has one, and whether PUBLIC can enter it too
   */
  async function ensureDatabase(
    sql: SessionClient,
    row: RegistryRow,
    name: string,
  ): Promise<{ mark: Mark | null; toPublic: boolean }> {
    let found = await inspectDatabase(sql, name)
    if (found.state !== 'present' && row.certificate !== null) throw missing(name)
    if (found.state === 'invalid' || (await wasEnterable(found, row, name))) {
      await dropDatabase(sql, name)
      found = { state: 'absent' }
    }
    if (found.state === 'absent') {
      await options.clone(sql, name, row.instance)
      // The clone may have lost a race: a check before the database is taken for ours.
      found = await inspectDatabase(sql, name)
    }
    const mark = refuseForeign(found, row, name)
    // A creation was killed before it had opened it.
    if (found.state === 'present' && found.unfinished) await openToOwner(sql, name)
    return { mark, toPublic: found.state === 'present' && found.toPublic }
  }

  /**
   * Whether it is a clone that PUBLIC could enter before it had a certificate, as earlier releases left it when they were
   * killed: rows in it may be of a role that has nothing to do with the tenant, and there can be none of the tenant's.
   */
  async function wasEnterable(found: Found, row: RegistryRow, name: string): Promise<boolean> {
    if (found.state !== 'present' || !found.ours || found.comment !== null || !found.toPublic) return false
    if (row.certificate !== null) return false
    return withDirectConnection(
      name,
      async inside => {
        const [table] = await inside<{ known: boolean }[]>`
          select to_regclass('distributed_tenant.certificate') is not null as known`
        return table?.known === true && (await inside`select from distributed_tenant.certificate`).length === 0
      },
      row.instance,
    )
  }

  function refuseForeign(found: Found, row: RegistryRow, name: string): Mark | null {
    if (found.state !== 'present') throw new Error(`${name} vanished while it was being made`)
    const mark = parseMark(found.comment)
    const { certificate, incarnation } = row
    const expected = { tenant: row.id, service, certificate, incarnation }
    if (found.ours && mark && mayFitLater(mark, expected)) throw new TenantUnconfirmed()
    const fits = mark
      ? markFits(mark, expected)
      : // A clone that was interrupted before its mark carries no comment; its certificate table is read next.
        found.comment === null
    if (found.ours && mark && !fits && mark.tenant === row.id && mark.incarnation !== (incarnation ?? undefined))
      throw otherIncarnation(name)
    if (!found.ours || !fits) throw foreign(name)
    return mark
  }

  const markOf = ({ id, incarnation }: RegistryRow, certificate: string): string =>
    markText({ tenant: id, service, certificate, incarnation })

  /**
   * An import or restore by this very release has certified and migrated it, and recorded that in the mark, which a tenant
   * cannot write: a connection would cost a process of the server and find nothing to do. The mark that comes with "ready" no
   * longer has it.
   */
  const isBuilt = (mark: Mark | null): mark is Mark => mark?.built === built

  /** Writes the certificate into a fresh clone, or reads it from one that has it already. */
  async function certify(inside: SqlClient, row: RegistryRow, name: string): Promise<string> {
    const [table] = await inside<{ known: boolean }[]>`
      select to_regclass('distributed_tenant.certificate') is not null as known`
    if (!table?.known) throw foreign(name)
    await inside`
      insert into distributed_tenant.certificate (certificate) values (${randomBytes(16).toString('hex')})
      on conflict (only_row) do nothing`
    const [written] = await inside<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
    const certificate = (written as { certificate: string }).certificate
    if (row.certificate !== null && row.certificate !== certificate) throw foreign(name)
    return certificate
  }

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

const foreign = (name: string): Error =>
  new DatabaseForeign(
    `A database named ${name} exists and is not ours: rename or drop it by hand, then retry the tenant. Nothing was changed in it.`,
  )

const otherIncarnation = (name: string): Error =>
  new DatabaseForeign(
    `The database ${name} was made for an earlier tenant of this id: if this tenant is another customer, rename or drop it by hand, then retry the tenant; if it is the same one, see "another incarnation" in docs/troubleshooting.md. Nothing was changed in it.`,
  )

const missing = (name: string): Error =>
  new DatabaseMissing(
    `The database ${name} was ready and is gone: restore it from a backup under this name, then retry the tenant. None was made in its place.`,
  )
