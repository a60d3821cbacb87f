// The import of one tenant's data into one service: frozen at the source, copied, compared, and handed over
// with the service's certificate and mark, so that the provisioner finds it as its own. Invariants: each step can be run again
// after a kill; until it is handed over its comment reserves it; every dropped database carries this transfer's comment or
// the certificate in its journal. A failure is thrown; undoing is the caller's decision.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { commentDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markText } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { builtBy } from '../../postgres/migrations/migration-files.js'
import { adopt } from '../copying/adopt-database.js'
import { besideDump } from '../copying/beside-dump.js'
import { type Contents, contentsDigest, readContents } from '../copying/compare-contents.js'
import type { Instance } from '../copying/external-instance.js'
import { freeze, isClosed, isFrozen, readBefore, thaw } from '../copying/freeze.js'
import type { Change, Journal, TransferTenant } from '../copying/journal.js'
import { refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import { refuseLargeObjects } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import { LARGE_BYTES, type Programs } from '../copying/pg-programs.js'
import { refuseUnlike, rehearse } from '../copying/rehearsal.js'
import { OF_THE_SERVER } from '../copying/schema-shape.js'
import { serverRelease } from '../copying/server-release.js'
import { copiedSettings } from '../copying/settings-left-out.js'
import { type WatchedDisk, whileRoom } from '../copying/watch-disk.js'
import type { Administrator } from '../move/online/administrator.js'
import type { Meeting } from './online/meeting.js'
import { createOnlineImport, type OnlineImport } from './online/online-import.js'
import { TARGET } from './online/places.js'
import { createTarget } from './target.js'

export { LARGE_BYTES } from '../copying/pg-programs.js'

export interface TenantTransferOptions extends TransferParts {
  readonly transfer: string
  readonly source: Instance
  readonly programs: Programs
  readonly journal: Journal
  /** Where copies of large databases lie for a while. */
  readonly folder: string
  /** Jobs on either side for a large one. */
  readonly jobs: number
  /** From how many bytes on one is large; default 256 MB. */
  readonly largeBytes?: number
  /** Of this service; null: no login is given, which a tenant without a freeze wants. */
  readonly admin?: Administrator | null
  /** Before a tenant without a freeze is switched, it ends its import. */
  readonly signal?: AbortSignal | undefined
  /**
   * False: the copy is not compared, and as the handed-over contents are unknown, a registered tenant cannot be undone.
   * For measuring the cost of comparing; the command never does it.
   */
  readonly compare?: boolean
}

export interface TenantTransfer {
  freeze(row: TransferTenant): Promise<TransferTenant>
  /** To handed over: from frozen; without a freeze from its beginning. @param meeting of the tenant's services */
  bring(row: TransferTenant, meeting: Meeting): Promise<TransferTenant>
  registering(row: TransferTenant): Promise<TransferTenant>
  /** Waits until the registry has it ready, from the very database that was brought. */
  ready(row: TransferTenant): Promise<TransferTenant>
  /** Whether its database is known to be as it was handed over. */
  untouched(row: TransferTenant): Promise<boolean>
  /** Drops what was brought and opens the source. */
  undo(row: TransferTenant, step: 'failed' | 'undone', error: string | null): Promise<TransferTenant>
  thaw(row: TransferTenant): Promise<TransferTenant>
}

const READY_MS = 90_000
/** Between two reads of the registry: growing, as each costs both sides. */
const LOOKS_MS = { first: 50, grow: 1.5, last: 250 }
export function createTenantTransfer(options: TenantTransferOptions): TenantTransfer {
  const {
    service,
    central,
    session,
    withDirectConnection,
    sets,
    source,
    journal,
    transfer,
    report,
    compare = true,
  } = options
  const target = createTarget(options)
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)

  async function note(row: TransferTenant, change: Change): Promise<TransferTenant> {
    const now = await journal.note(transfer, row.id, change)
    if (change.step) report({ type: change.step, id: row.id })
    return now
  }

  /** @returns the time from which no writes are possible there */
  async function close(row: TransferTenant): Promise<string> {
    const at = await source.withDirectConnection(sql => freeze(sql, row.sourceDatabase))
    report({ type: 'closed', id: row.id })
    return at
  }

  async function freezeStep(row: TransferTenant): Promise<TransferTenant> {
    if (row.online) return row
    if (row.step !== 'pending' && row.step !== 'freezing') return row
    const before = row.frozen ?? (await source.withDirectConnection(sql => readBefore(sql, row.sourceDatabase)))
    const begun = await note(row, { step: 'freezing', frozen: before, error: null })
    const at = await close(begun)
    return note(begun, { step: 'frozen', frozen: { ...before, at } })
  }

  async function copy(row: TransferTenant): Promise<TransferTenant> {
    const begun = await note(row, { step: 'copying' })
    await target.create(begun)
    const { admin, database } = options
    const { host, port } = database
    const disk: WatchedDisk = {
      label: service,
      host,
      port,
      ask: fn => (admin ? admin.at(TARGET, fn) : session(fn)),
    }
    return whileRoom(disk, signal => fill(begun, undefined, signal))
  }

  /** @param snapshot of a transaction at the source; without one, what is there at that moment */
  async function fill(row: TransferTenant, snapshot?: string, signal?: AbortSignal): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const from = { ...source.address, database: row.sourceDatabase }
    const to = { ...options.database, database: name }
    const { views, settings } = await besideOf(row)
    const programs = await suiting()
    if (row.bytes < (options.largeBytes ?? LARGE_BYTES)) await programs.pipe(from, to, { views, snapshot, signal })
    else {
      const folder = join(options.folder, `${transfer}-${row.id}-${service}`)
      await programs.parallel(from, to, { folder, jobs: options.jobs, views, snapshot, signal })
    }
    // The plan names the others.
    await session(async sql => applyDatabaseSettings(sql, name, await copiedSettings(sql, settings)))
    report({ type: 'restored', id: row.id })
    return note(row, { step: 'copied' })
  }

  const suiting = async () => options.programs.suiting(await serverRelease(source))

  const besideOf = ({ sourceDatabase }: TransferTenant) =>
    source.withDirectConnection(sql => besideDump(sql, sourceDatabase), sourceDatabase)

  /** Its definitions as they are spelled here. */
  async function again(row: TransferTenant): Promise<Contents> {
    const from = { ...source.address, database: row.sourceDatabase }
    const programs = await suiting()
    return rehearse(options, {
      service,
      ...(await besideOf(row)),
      settings: [],
      fill: database => programs.pipe(from, { ...options.database, database }, { definitions: true }),
    })
  }

  /** @returns one checksum of the contents of both. @throws TRANSFER_FAILED when they differ, or the source was opened */
  async function verify(row: TransferTenant, inside: SqlClient, frozenAt: string): Promise<string> {
    const [original, copied] = await Promise.all([
      source.withDirectConnection(async sql => {
        if (!(await isFrozen(sql, row.sourceDatabase, frozenAt))) {
          throw new TransferFailed(
            `${row.sourceDatabase} was opened during the copy: close it, then go on with --resume.`,
          )
        }
        await refuseLargeObjects(sql, row.sourceDatabase)
        return readContents(sql)
      }, row.sourceDatabase),
      readContents(inside),
    ])
    const how = { database: row.sourceDatabase, without: OF_THE_SERVER, again: () => again(row) }
    await refuseUnlike(original, copied, how)
    const populated = (await besideOf(row)).views.filter(view => view.populated).map(view => view.name)
    const failed = await refreshViews(inside, populated)
    if (failed.length > 0) {
      throw new TransferFailed(
        `Materialized views of ${row.sourceDatabase} cannot be refreshed in the copy: ${unrefreshedText(failed)}. Correct them at the source.`,
      )
    }
    return contentsDigest(copied)
  }

  /** In one session, as the server makes a process and its caches for each. */
  async function handOver(row: TransferTenant, frozenAt: string): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const certificate = row.certificate ?? randomBytes(16).toString('hex')
    const [verified, contents] = await withDirectConnection(name, async inside => {
      const held = row.step === 'copied' && compare ? { contents: await verify(row, inside, frozenAt) } : {}
      const now = await note(row, { certificate, ...held, ...(row.step === 'copied' && { step: 'verified' }) })
      const applied = await adopt(inside, { name, sets, baseline: row.baseline, certificate })
      // A run killed after its migrations has not recorded the contents they led to.
      const changed = applied.length > 0 || row.step === 'verified'
      return [now, compare && changed && sumsUp(row) ? await digestOf(inside) : now.contents]
    })
    await session(sql =>
      commentDatabase(sql, name, markText({ tenant: row.id, service, certificate, built: builtBy(sets) })),
    )
    report({ type: 'handed_over', id: row.id })
    return note(verified, { step: 'accepted', contents })
  }

  /** Its source refuses writers while it is handed over: a large one is not read once more then. */
  const sumsUp = ({ online, bytes }: TransferTenant): boolean => !online || bytes < (options.largeBytes ?? LARGE_BYTES)

  /** @throws TRANSFER_REFUSED without a login */
  function withoutFreeze(): OnlineImport {
    const { admin, signal, database } = options
    if (admin) {
      const copyOf = async (row: TransferTenant, snapshot: string, ends: AbortSignal) =>
        fill(await note(row, { step: 'copying' }), snapshot, ends)
      const parts = { service, withDirectConnection, report, database, transfer, source, admin, target, signal }
      return createOnlineImport({ ...parts, note, copy: copyOf, again })
    }
    throw new TransferRefused(
      'This import was begun with --online, and its slots and subscriptions want the administrator: set INIT_SUPERUSER and INIT_PASSWORD, as for `init`.',
    )
  }

  async function bringWithoutFreeze(row: TransferTenant, meeting: Meeting): Promise<TransferTenant> {
    if (isProven(row) && row.step !== 'verified') return row
    const online = withoutFreeze()
    const proven = isProven(row) ? row : await online.bring(row, meeting)
    if (!(await source.withDirectConnection(sql => isClosed(sql, row.sourceDatabase)))) {
      throw new TransferFailed(
        `${row.sourceDatabase} was opened after the switch: go on with --resume, which begins it anew.`,
      )
    }
    await online.clear(proven, { keeps: true })
    return handOver(proven, await close(proven))
  }

  async function bring(row: TransferTenant, meeting: Meeting): Promise<TransferTenant> {
    if (row.online) return bringWithoutFreeze(row, meeting)
    if (!['frozen', 'copying', 'copied', 'verified'].includes(row.step)) return row
    // Also after a kill: from here on no writes are possible.
    const frozenAt = row.step === 'frozen' && row.frozen?.at ? row.frozen.at : await close(row)
    const copied = row.step === 'frozen' || row.step === 'copying' ? await copy(row) : row
    return handOver(copied, frozenAt)
  }

  async function ready(row: TransferTenant): Promise<TransferTenant> {
    if (row.step !== 'registering') return row
    const deadline = performance.now() + READY_MS
    for (let wait = LOOKS_MS.first; ; wait = Math.min(wait * LOOKS_MS.grow, LOOKS_MS.last)) {
      const known = await findTenant(central, row.id)
      if (known?.certificate && known.certificate !== row.certificate) {
        throw new TransferFailed(
          `${service} has another database for ${row.id} than the one that was brought: look at \`distributed-tenant doctor\`.`,
        )
      }
      if (known?.provisioned === 'ready') return note(row, { step: 'ready', error: null })
      if (performance.now() > deadline) {
        throw new TransferFailed(
          `${service} did not provision ${row.id} within ${READY_MS / 1000} s (${known?.lastError ?? 'it does not know it'}): check that the service runs, then go on with --resume.`,
        )
      }
      await new Promise(resolve => setTimeout(resolve, wait))
    }
  }

  async function open(row: TransferTenant): Promise<void> {
    const { frozen } = row
    if (frozen) await source.withDirectConnection(sql => thaw(sql, row.sourceDatabase, frozen))
    report({ type: 'thawed', id: row.id })
  }

  return {
    freeze: freezeStep,
    bring,
    registering: async row => (row.step === 'accepted' ? note(row, { step: 'registering' }) : row),
    ready,
    untouched: async row => {
      const found = await session(sql => inspectDatabase(sql, nameOf(row.id)))
      return found.state !== 'present' || (await withDirectConnection(nameOf(row.id), digestOf)) === row.contents
    },
    async undo(row, step, error) {
      const begun = await note(row, { step: 'undoing', error })
      if (begun.online) {
        // The old application comes first. What replicates holds the target's database.
        await open(begun)
        await withoutFreeze().clear(begun, { keeps: false })
      }
      // A database that is not this transfer's is left alone: then there was never a copy.
      await target.drop(begun).catch(error => {
        if (!(error instanceof TransferRefused)) throw error
      })
      report({ type: 'removed', id: row.id })
      if (!begun.online) await open(begun)
      return note(begun, { step, frozen: null, certificate: null, contents: null })
    },
    async thaw(row) {
      if (!row.frozen) return row
      await open(row)
      return note(row, { frozen: null })
    },
  }
}

/** Of one without a freeze: all that was written at its source is here. */
export const isProven = ({ step }: Pick<TransferTenant, 'step'>): boolean =>
  ['verified', 'accepted', 'registering', 'ready'].includes(step)

const digestOf = async (sql: Pick<SqlClient, 'begin'>): Promise<string> => contentsDigest(await readContents(sql))
