// The import of one tenant's data into one service, step by step: frozen at the source, copied, compared (copy-tenant.ts), and handed
// over with the service's certificate and mark, so that the provisioner finds it as its own. Invariants: each step can be run again
// after a kill; until it is handed over its comment reserves it; every dropped database carries this transfer's comment or
// the certificate in its journal. A failure is thrown; undoing is the caller's decision.

import { randomBytes } from 'node:crypto'
import { commentDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markText } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { SqlClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { builtBy } from '../../postgres/migrations/migration-files.js'
import { adopt } from '../copying/adopt-database.js'
import { contentsDigest, readContents } from '../copying/compare-contents.js'
import { freeze, isClosed, readBefore, thaw } from '../copying/freeze.js'
import type { Change, Journal, TransferTenant } from '../copying/journal.js'
import { createTenantCopy, type TenantCopyOptions } from './copy-tenant.js'
import type { Meeting } from './online/meeting.js'
import { createOnlineImport, type OnlineImport } from './online/online-import.js'
import { createTarget } from './target.js'

export interface TenantTransferOptions extends TenantCopyOptions {
  readonly journal: Journal
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
  const tenantCopy = createTenantCopy(options)
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
    await tenantCopy.fillWhileRoom(begun)
    return note(begun, { step: 'copied' })
  }

  /** In one session, as the server makes a process and its caches for each. */
  async function handOver(row: TransferTenant, frozenAt: string): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const certificate = row.certificate ?? randomBytes(16).toString('hex')
    const [verified, contents] = await withDirectConnection(name, async inside => {
      const held = row.step === 'copied' && compare ? { contents: await tenantCopy.verify(row, inside, frozenAt) } : {}
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
  const sumsUp = (row: TransferTenant): boolean => !row.online || !tenantCopy.isLarge(row)

  /** @throws TRANSFER_REFUSED without a login */
  function withoutFreeze(): OnlineImport {
    const { admin, signal, database } = options
    if (admin) {
      const copyOf = async (row: TransferTenant, snapshot: string, ends: AbortSignal) => {
        const begun = await note(row, { step: 'copying' })
        await tenantCopy.fill(begun, snapshot, ends)
        return note(begun, { step: 'copied' })
      }
      const parts = { service, withDirectConnection, report, database, transfer, source, admin, target, signal }
      return createOnlineImport({ ...parts, note, copy: copyOf, again: tenantCopy.again })
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
