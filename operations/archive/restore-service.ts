// The restore of one service: a copy (build-copy.ts) takes the tenant's name; the database of that name before is kept until the
// restore is over, and gets it back on a failure. Invariants: until the swap no database of the tenant is touched; the swap is
// one transaction (rename-databases.ts); each step can be repeated after a kill. The provisioner adds rights, role and the state "ready".

import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { commentDatabase, dropDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markFits, markText, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { listFull } from '../../plugins/distributed-tenant/registry/full-instances.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, RegistryRow, SessionClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { lockNames, withLock } from '../../postgres/advisory-locks.js'
import type { MigrationSet } from '../../postgres/migrations/migration-files.js'
import { fullText } from '../copying/full-instance.js'
import { rolesMissing } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import { refuseUnlessMarked } from './backup.js'
import { buildCopy, type RestoreSource } from './build-copy.js'
import { unfit } from './compatibility.js'
import type { Part } from './manifest.js'
import { type Renaming, renameDatabases } from './rename-databases.js'
import { copyName, pastName, placeOf } from './tenant-place.js'

export interface ServiceRestore {
  readonly service: string
  readonly part: Part
  /** The registry's row of the tenant, and whether its database exists. */
  look(): Promise<{ row: RegistryRow | null; database: boolean }>
  /** Why this part cannot be restored here; empty when it can. Changes nothing. */
  obstacles(): Promise<string[]>
  /**
   * The leftovers of a killed run: undone while the tenant is not live, and removed once it is.
   * @returns their names
   */
  settle(live: boolean): Promise<string[]>
  /** Makes the database beside the tenant's. @throws TRANSFER_FAILED */
  build(dump: () => Readable): Promise<void>
  /** Locks out provisioner and purger for as long as `fn` runs. */
  locked<T>(fn: () => Promise<T>): Promise<T>
  /**
   * Gives it the tenant's name. Not `final`: it is taken back by the next run unless identity makes the tenant live. This and
   * {@link ServiceRestore.undo} are called within {@link ServiceRestore.locked}.
   */
  swap(final: boolean): Promise<void>
  /** Back to the state before the swap, whether it was done or not. */
  undo(): Promise<void>
  /** Removes the leftovers beside the tenant's database. */
  sweep(): Promise<void>
}

export async function createServiceRestore(
  parts: TransferParts,
  id: TenantId,
  options: RestoreSource,
): Promise<ServiceRestore> {
  const { service, central, sets, report } = parts
  const { part, programs, sha256 } = options
  const place = await placeOf(parts, id)
  const copy = copyName(id, service)
  const past = pastName(id, service)
  const tenantSet = sets.at(-1) as MigrationSet
  let certificate: string | null = null
  let incarnation: string | null = null
  let swapping = false

  /** A database left by an interrupted DROP counts as missing. */
  const there = async (sql: QueryClient, name: string): Promise<boolean> =>
    (await inspectDatabase(sql, name)).state === 'present'

  /** Names of this form are the service's; one that another role owns is left alone all the same. */
  async function dropOurs(sql: SessionClient, name: string): Promise<void> {
    const found = await inspectDatabase(sql, name)
    if (found.state === 'present' && !found.ours) {
      throw new TransferRefused(
        `${name} on the server of ${service} is not ours and was left alone: rename or drop it.`,
      )
    }
    await dropDatabase(sql, name)
  }

  async function look() {
    const row = await findTenant(central, id)
    return { row, database: await place.session(sql => there(sql, place.name)) }
  }

  async function obstacles(): Promise<string[]> {
    const found = await unfit(part, { central, set: tenantSet, programs })
    const missing = await place.session(sql => rolesMissing(sql, part.roles ?? []))
    if (missing.length > 0) {
      found.push(`its rights name roles that the server does not have (${missing.join(', ')}): create them first`)
    }
    const { row, database } = await look()
    if (row && row.moving !== null) found.push(movingNow(id))
    // One that replaces what is there takes no more room for long.
    const full = (await listFull(central)).find(({ name }) => name === (row?.instance ?? DEFAULT_INSTANCE))
    if (full && !database) found.push(fullText(full))
    if (database && row?.certificate) await refuseUnlessMarked(parts, place, row)
    else if (database && row && (await isAnothers(row))) {
      found.push(
        `the database ${place.name} was made for an earlier tenant of this id: rename or drop it by hand, then begin anew`,
      )
    }
    if (database && !row && !(await isUncommitted()))
      found.push(`a database ${place.name} is there, and no tenant of the registry owns it`)
    return found
  }

  async function isAnothers({ certificate, incarnation }: RegistryRow): Promise<boolean> {
    const { comment = null } = (await place.session(sql => inspectDatabase(sql, place.name))) as { comment?: string }
    const mark = parseMark(comment)
    return mark !== null && !markFits(mark, { tenant: id, service, certificate, incarnation })
  }

  /** Of a restore that identity has not been asked about: its mark says so until the provisioner replaces it. */
  async function isUncommitted(): Promise<boolean> {
    const found = await place.session(sql => inspectDatabase(sql, place.name))
    return found.state === 'present' && found.ours && parseMark(found.comment)?.restore !== undefined
  }

  async function build(dump: () => Readable): Promise<void> {
    report({ type: 'building', id })
    await place.session(sql => dropOurs(sql, copy))
    const certify = async (): Promise<string> => {
      const row = await findTenant(central, id)
      certificate = row?.certificate ?? randomBytes(16).toString('hex')
      // The tenant's that is there now, whichever the archive's was; one that identity is still to make has none yet.
      incarnation = row?.incarnation ?? null
      return certificate
    }
    await buildCopy({ ...options, service, place, name: copy, sets, certify }, dump)
    report({ type: 'built', id })
  }

  async function swap(final: boolean): Promise<void> {
    // Under the tenant's lock, which a move takes to begin: from here on it finds the tenant pending, and is refused.
    const row = await findTenant(central, id)
    if (row?.moving) throw new TransferRefused(movingNow(id))
    if ((row?.incarnation ?? incarnation) !== incarnation) {
      throw new TransferRefused(
        `The id ${id} has been given to another tenant since the restore began: nothing was put in its place. Begin it anew.`,
      )
    }
    // First the registry: requests wait from now on, and after a kill from here on the provisioner checks the database of that
    // name again, and completes it.
    await central`
      update tenants set provisioned = 'pending', step = 'restore', last_error = null, next_attempt_at = now() where id = ${id}`
    report({ type: 'pending', id })
    swapping = true
    const mark = markText({
      tenant: id,
      service,
      certificate: certificate as string,
      incarnation,
      ...(!final && { restore: sha256 }),
    })
    await place.session(async sql => {
      const replaces = await there(sql, place.name)
      if (!replaces) await dropDatabase(sql, place.name)
      const away: Renaming[] = replaces ? [[place.name, past]] : []
      await renameDatabases(sql, [...away, [copy, place.name]], async tx => {
        await commentDatabase(tx, place.name, mark)
        await tx`alter database ${tx(place.name)} allow_connections true`
      })
    })
    report({ type: 'swapped', id })
  }

  async function undo(): Promise<void> {
    const uncommitted = await isUncommitted()
    await place.session(async sql => {
      // Its transaction may have committed although the answer was lost; then the copy has the tenant's name.
      const back = uncommitted || (swapping && !(await there(sql, copy)))
      const kept = await there(sql, past)
      const returned: Renaming[] = kept ? [[past, place.name]] : []
      if (back) await renameDatabases(sql, [[place.name, copy], ...returned])
      // Of a restore that was over, and was killed before the removal.
      else if (kept) await dropOurs(sql, past)
      await dropOurs(sql, copy)
      const standing = await there(sql, place.name)
      // Closed before it was to be renamed.
      if (standing) await sql`alter database ${sql(place.name)} allow_connections true`
      // The provisioner checks a live tenant once more; a deleted one is as before.
      await central`
        update tenants set provisioned = ${standing ? 'ready' : 'removed'}, next_attempt_at = null
        where id = ${id} and lifecycle = 'deleted' and step = 'restore' and provisioned = 'pending'`
    })
    swapping = false
  }

  return {
    service,
    part,
    look,
    obstacles,
    async settle(live) {
      const left = await place.session(async sql => {
        const found = await Promise.all([copy, past].map(async name => ((await there(sql, name)) ? [name] : [])))
        return found.flat()
      })
      if (!live && ((await isUncommitted()) || (await place.session(sql => there(sql, past))))) await undo()
      await place.session(async sql => {
        if (live) await dropOurs(sql, past)
        await dropOurs(sql, copy)
      })
      return left
    },
    build,
    locked: fn =>
      parts.session(async sql => {
        try {
          return await withLock(sql, lockNames.provision(id), fn)
        } finally {
          // An attempt meanwhile found it locked and was postponed.
          await sql`update tenants set next_attempt_at = now() where id = ${id} and provisioned = 'pending'`
        }
      }),
    swap,
    undo,
    async sweep() {
      await place.session(async sql => {
        await dropOurs(sql, copy)
        await dropOurs(sql, past)
      })
    },
  }
}

const movingNow = (id: TenantId): string =>
  `${id} is being moved to another instance: end that with \`move --resume\` or \`move --rollback\` first`
