// The move of one tenant's database from one instance of its service to another: made ready there, frozen
// for writers, copied, compared, accepted, closed here, switched in the registry. Invariants: each step can be run again
// after a kill; the tenant is served at one place at a time; before the switch everything can be undone, after it the
// old database is kept, closed and renamed. A failure is thrown; undoing is the caller's decision.

import { join } from 'node:path'
import type { TransferReport, TransferStep } from '../../plugins/distributed-tenant/diagnostics/steps.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { dropKept } from '../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { SessionClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { besideDump } from '../copying/beside-dump.js'
import { dropPublicSchema, localeOf } from '../copying/empty-database.js'
import type { Change, Journal, TransferTenant } from '../copying/journal.js'
import { LARGE_BYTES, type Programs } from '../copying/pg-programs.js'
import { serverRelease } from '../copying/server-release.js'
import { fullDisk, type WatchedDisk, watchFor } from '../copying/watch-disk.js'
import { compareCopy } from './compare-copy.js'
import type { Administrator } from './online/administrator.js'
import type { MoveParts } from './parts.js'
import { instanceAt } from './reach-instance.js'
import { switchPlace } from './registry-switch.js'
import { createSource } from './source.js'
import { createTarget } from './target.js'

export interface MoveOptions extends MoveParts {
  readonly run: string
  readonly from: string
  readonly to: string
  readonly programs: Programs
  readonly journal: Journal
  /** Where the copy of a large database lies for a while. */
  readonly folder: string
  readonly jobs: number
  /** Aborted: a copy is ended, and anything else stops at the next step. */
  readonly signal?: AbortSignal | undefined
  /** Where its login is given: asked how much room the target's disk has, which the service's own role may not see perhaps. */
  readonly admin?: Pick<Administrator, 'at'> | null
}

export interface Move {
  /** From wherever the journal says it is to the switch. */
  carryOut(row: TransferTenant): Promise<TransferTenant>
  /** Takes it back. @throws TRANSFER_REFUSED after the switch */
  undo(row: TransferTenant, error: string | null): Promise<TransferTenant>
  /** Drops the database it came from, for good. */
  dropSource(row: TransferTenant): Promise<TransferTenant>
}

export function createMove(options: MoveOptions): Move {
  const { service, central, withDirectConnection, sessionAt, journal, run, from, to, report, admin } = options
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)
  const here = instanceAt(options, from)
  const there = instanceAt(options, to)
  const source = createSource(options)
  const target = createTarget(options)
  const { host, port } = there.address
  const disk: WatchedDisk = { label: to, host, port, ask: fn => (admin ? admin.at(to, fn) : sessionAt(to)(fn)) }
  const mustEnd = new AbortController()
  const signal = AbortSignal.any([mustEnd.signal, ...(options.signal ? [options.signal] : [])])

  function goOn(id: TenantId): void {
    if (!signal.aborted) return
    const why = signal.reason instanceof TransferFailed ? ` (${signal.reason.message})` : ''
    throw new TransferFailed(`The move of ${id} was interrupted${why}.`)
  }

  async function note(row: TransferTenant, change: Change): Promise<TransferTenant> {
    if (!change.step?.startsWith('und')) goOn(row.id)
    const now = await journal.note(run, row.id, change)
    if (change.step) report({ type: change.step, id: row.id })
    return now
  }

  /** Everything at the target that takes time and no freeze. */
  async function prepare(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const begun = await note(row, { step: 'preparing', error: null })
    // Before any write is refused.
    const full = await fullDisk(disk).catch(() => null)
    if (full) throw full
    await target.drop(begun)
    await target.make(begun, await here.withDirectConnection(sql => localeOf(sql, name)))
    return note(begun, { step: 'prepared' })
  }

  async function freeze(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    await source.keepMigrationsOut(held, row.id)
    const begun = row.step === 'prepared' ? await note(row, { step: 'freezing' }) : row
    const now = await source.freeze(held, row.id)
    // After a kill it has been frozen for longer than this process knows.
    const frozen = { ...now, at: row.frozen?.at ?? now.at ?? '' }
    return note(begun, begun.step === 'freezing' ? { step: 'frozen', frozen } : { frozen })
  }

  async function copy(row: TransferTenant): Promise<TransferTenant> {
    const database = nameOf(row.id)
    // A copy that was begun is begun anew.
    const empty = row.step === 'copying' ? await prepare(row) : row
    const begun = await note(empty, { step: 'copying' })
    const [out, into] = [
      { ...here.address, database },
      { ...there.address, database },
    ]
    const { hasPublic, views } = await here.withDirectConnection(sql => besideDump(sql, database), database)
    if (!hasPublic) await withDirectConnection(database, dropPublicSchema, to)
    const programs = await options.programs.suiting(await serverRelease(here))
    const what = { whole: true, views, signal }
    try {
      if (row.bytes < LARGE_BYTES) await programs.pipe(out, into, what)
      else {
        const folder = join(options.folder, `${run}-${row.id}-${service}`)
        await programs.parallel(out, into, { folder, jobs: options.jobs, compress: 0, ...what })
      }
    } catch (error) {
      // A program that was ended for it reports that alone.
      goOn(row.id)
      throw error
    }
    report({ type: 'restored', id: row.id })
    return note(begun, { step: 'copied' })
  }

  async function verify(row: TransferTenant): Promise<TransferTenant> {
    const contents = await compareCopy({ ...options, signal }, row.id)
    goOn(row.id)
    return note(row, { step: 'verified', contents })
  }

  /** A server whose log finds no room ends, with all of its tenants. */
  async function whileWatched<T>(work: () => Promise<T>): Promise<T> {
    const stop = watchFor(
      () => fullDisk(disk),
      reason => mustEnd.abort(reason),
    )
    return work().finally(stop)
  }

  async function copyAndVerify(row: TransferTenant): Promise<TransferTenant> {
    const copied = row.step === 'frozen' || row.step === 'copying' ? await copy(row) : row
    // After a kill writes were not watched in between: every comparison is repeated.
    return verify(copied)
  }

  /** `held`: our session in the database, from the freeze until it is closed. */
  async function whileFrozen(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    const frozen = await freeze(row, held)
    let now = await whileWatched(() => copyAndVerify(frozen))
    await target.accept(now)
    now = await note(now, { step: 'accepted' })
    now = await note(now, { step: 'closing' })
    await source.close(held, now)
    return now
  }

  async function switchOver(row: TransferTenant): Promise<TransferTenant> {
    const frozenAt = row.frozen?.at ?? new Date().toISOString()
    const { current: key } = options.credentials
    await switchPlace(central, row.id, { run, from, to, key, frozenAt })
    report({ type: 'switched', id: row.id })
    const [now = row] = await journal.tenants(run)
    return now
  }

  return {
    async carryOut(row) {
      let now = row
      if (isBefore(now, 'prepared')) now = await prepare(now)
      if (isBefore(now, 'closing') || (now.step === 'closing' && (await source.reopen(now.id)))) {
        now = await here.withDirectConnection(held => whileFrozen(now, held), nameOf(now.id))
      }
      if (now.step === 'closing') {
        await source.putAway(now.id)
        now = await note(now, { step: 'closed' })
      }
      return now.step === 'closed' ? switchOver(now) : now
    },
    async undo(row, error) {
      if (row.step === 'switched' || row.step === 'dropped') {
        throw new TransferRefused(`${row.id} is on the instance ${to} already: to have it back, move it to ${from}.`)
      }
      const begun = await note(row, { step: 'undoing', error })
      // What is served comes first.
      await source.restore(begun)
      await target.drop(begun)
      report({ type: 'removed', id: row.id })
      return note(begun, { step: 'undone', frozen: null, contents: null })
    },
    async dropSource(row) {
      // The tenant itself may be there again: what a move has left has a name of its own.
      if (row.step !== 'switched') {
        throw new TransferRefused(`${row.id} has not been moved to ${to} by this run: nothing was dropped.`)
      }
      const { incarnation = null } = (await findTenant(central, row.id)) ?? {}
      await sessionAt(from)(sql => dropKept(sql, { id: row.id, service, incarnation }))
      return note(row, { step: 'dropped' })
    },
  }
}

const order: readonly TransferStep[] = [
  'pending',
  'preparing',
  'prepared',
  'freezing',
  'frozen',
  'copying',
  'copied',
  'verified',
  'accepted',
  'closing',
  'closed',
  'switched',
  'dropped',
]

/** The steps that a move without interruption publishes, in this order: those of its journal, and those between. */
export const MOVE_REPORTS: readonly TransferReport['type'][] = [
  'preparing',
  'created',
  'prepared',
  'freezing',
  'closed_to_writers',
  'frozen',
  'copying',
  'restored',
  'copied',
  'verified',
  'handed_over',
  'accepted',
  'closing',
  'closed',
  'switched',
]

const isBefore = ({ step }: TransferTenant, other: TransferStep): boolean => order.indexOf(step) < order.indexOf(other)
