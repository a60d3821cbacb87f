// Owns the steps by which one tenant's database goes from one instance of its service to another: made ready there, frozen
// for writers, copied, compared, accepted, closed here, switched in the registry. Invariants: each step can be run again
// after a kill; the tenant is let in at one place at a time; before the switch everything can be undone, after it the
// database it came from is kept, closed and renamed. A failure is thrown; undoing is the caller's decision.
import { join } from 'node:path'
import {
  closeToPublic,
  commentDatabase,
  dropDatabase,
  dropRole,
  inspectDatabase,
  markFits,
  markText,
  parseMark,
} from '../../databases/databases.js'
import { tenantDatabaseName, tenantGroupName } from '../../databases/names.js'
import { noteKey, openRole, openRoleAt, prepareRole } from '../../databases/roles.js'
import { TransferFailed, TransferRefused } from '../../errors.js'
import { HOME, instanceDatabaseName } from '../../placement/instances.js'
import { dropKept, keptMark, keptName, parseKeptMark } from '../../placement/kept.js'
import { findTenant } from '../../provisioning/registry.js'
import type { SessionClient } from '../../request/client.js'
import type { QueryClient, TenantId } from '../../types.js'
import { contentsDigest, differences, readContents } from '../contents.js'
import { createInstance, type Instance } from '../instance.js'
import type { Change, Journal, TransferStep, TransferTenant } from '../journal.js'
import type { Programs } from '../programs.js'
import { LARGE_BYTES } from '../programs.js'
import { creation, isEmpty } from '../target.js'
import type { MoveParts } from './parts.js'
import { markMoving, switchPlace, tellMoved, unmarkMoving } from './registry.js'
import { dropOwnRights, giveWriting, lookNoMore, type RightsOf, takeWriting } from './rights.js'
import { endSessions, type Patience, readPid, rowsWritten } from './stillness.js'

export interface MoveOptions extends MoveParts {
  readonly run: string
  readonly from: string
  readonly to: string
  readonly programs: Programs
  readonly journal: Journal
  /** Where the copy of a large database lies for a while. */
  readonly folder: string
  readonly jobs: number
  /** Aborted: it stops at the next step. */
  readonly signal?: AbortSignal | undefined
}

export interface Move {
  /** From wherever the journal says it is to the switch. */
  carryOut(row: TransferTenant): Promise<TransferTenant>
  /** Takes it back. @throws TRANSFER_REFUSED after the switch */
  undo(row: TransferTenant, error: string | null): Promise<TransferTenant>
  /** Drops the database it came from, for good. */
  dropSource(row: TransferTenant): Promise<TransferTenant>
}

/** While writers are refused: a transaction that began before may still commit. */
const FREEZING: Patience = { restMs: 1_000, graceMs: 5_000 }
/** While nobody is let in: whoever waits to be let in waits for two seconds. */
const CLOSING: Patience = { restMs: 250, graceMs: 1_000 }
const MIGRATION_LOCK = 'distributed_tenant.migrate'
const MIGRATION_MS = 10_000
const SHOWN = 5

export function createMove(options: MoveOptions): Move {
  const { service, central, visit, sessionAt, credentials, journal, run, from, to, report } = options
  const comment = `distributed-tenant:transfer:v1 ${run}`
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)
  const rightsOf = (id: TenantId): RightsOf => ({ role: nameOf(id), group: tenantGroupName(service) })
  const source = instanceAt(from)

  function instanceAt(name: string): Instance {
    const place = options.instances.find(one => one.name === name)
    if (!place) throw new TransferRefused(`DB_INSTANCES does not name ${name}: name it, then go on.`)
    const database = name === HOME ? options.database.database : instanceDatabaseName(service)
    return createInstance({ ...options.database, host: place.host, port: place.port, database })
  }

  async function note(row: TransferTenant, change: Change): Promise<TransferTenant> {
    if (options.signal?.aborted && !change.step?.startsWith('und')) {
      throw new TransferFailed(`The move of ${row.id} was interrupted.`)
    }
    const now = await journal.note(run, row.id, change)
    if (change.step) report({ type: change.step, id: row.id })
    return now
  }

  /** Everything at the target that takes time and no freeze: an empty database that nobody may enter, and the role. */
  async function prepare(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const begun = await note(row, { step: 'preparing', error: null })
    await dropTarget(begun)
    const statement = await source.visit(sql => creation(sql, name, name))
    await sessionAt(to)(async at => {
      await at.unsafe(statement)
      await closeToPublic(at, name)
      report({ type: 'created', id: row.id })
      await commentDatabase(at, name, comment)
      await prepareRole(at, name, service)
    })
    return note(begun, { step: 'prepared' })
  }

  /** @throws TRANSFER_REFUSED when its name is held there by anything else than this run's own */
  async function dropTarget({ id, certificate }: TransferTenant): Promise<void> {
    const name = nameOf(id)
    await sessionAt(to)(async at => {
      const found = await inspectDatabase(at, name)
      if (found.state === 'present' && !(await isTarget(found))) {
        throw new TransferRefused(
          `${name} on the instance ${to} is not of this move and was left as it is: look into it, then go on.`,
        )
      }
      await dropDatabase(at, name)
      if ((await inspectDatabase(at, keptName(id, service))).state === 'absent') await dropRole(at, name)
    })

    async function isTarget(found: { comment: string | null; ours: boolean }): Promise<boolean> {
      if (!found.ours) return false
      if (found.comment === comment) return true
      const mark = parseMark(found.comment)
      // The registry says that the tenant is elsewhere, and this one carries the same certificate: our copy.
      if (mark) return certificate !== null && markFits(mark, { tenant: id, service, certificate })
      return found.comment === null && (await visit(name, isEmpty, to))
    }
  }

  /** Writers are refused from here on. `held`: our session in the database, which also keeps migrations out of it. */
  async function freeze(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    const name = nameOf(row.id)
    await keepMigrationsOut(held, row.id)
    const begun = row.step === 'prepared' ? await note(row, { step: 'freezing' }) : row
    await markMoving(central, row.id, { from, state: 'frozen' })
    await takeWriting(held, rightsOf(row.id))
    report({ type: 'closed_to_writers', id: row.id })
    // Two clocks: sessions are told apart by their own server's, and the freeze is measured by the central database's.
    const [at, since] = [await clockOf(held), await clockOf(central)]
    await tellMoved(central, row.id)
    const ours = [await readPid(held)]
    await sessionAt(from)(sql => endSessions(sql, name, { before: at, ours, patience: FREEZING }))
    const written = await rowsWritten(held)
    const frozen = { connect: [], readOnly: null, at: row.frozen?.at ?? since, written }
    return note(begun, begun.step === 'freezing' ? { step: 'frozen', frozen } : { frozen })
  }

  const clockOf = async (sql: QueryClient): Promise<string> => {
    const [now] = await sql<{ at: string }[]>`select clock_timestamp()::text as at`
    return (now as { at: string }).at
  }

  async function keepMigrationsOut(held: SessionClient, id: TenantId): Promise<void> {
    const deadline = performance.now() + MIGRATION_MS
    for (;;) {
      const [lock] = await held<{ mine: boolean }[]>`
        select pg_try_advisory_lock(hashtextextended(${MIGRATION_LOCK}, 0)) as mine`
      if (lock?.mine) return
      if (performance.now() > deadline) {
        throw new TransferRefused(`A migration of ${id} is running: wait for its end, then move it.`)
      }
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async function copy(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    // A copy that was begun is begun anew.
    const empty = row.step === 'copying' ? await prepare(row) : row
    const begun = await note(empty, { step: 'copying' })
    const target = instanceAt(to)
    const there = { ...target.address, database: name }
    const here = { ...source.address, database: name }
    if (row.bytes < LARGE_BYTES) await options.programs.pipe(here, there, { whole: true })
    else {
      const folder = join(options.folder, `${run}-${row.id}-${service}`)
      await options.programs.parallel(here, there, { folder, jobs: options.jobs, whole: true })
    }
    report({ type: 'restored', id: row.id })
    return note(begun, { step: 'copied' })
  }

  async function verify(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const [original, copied] = await Promise.all([source.visit(readContents, name), visit(name, readContents, to)])
    const wrong = differences(original, copied)
    if (wrong.length > 0) {
      const more = wrong.length > SHOWN ? ` and ${wrong.length - SHOWN} more` : ''
      throw new TransferFailed(`The copy of ${name} is not like it (${wrong.slice(0, SHOWN).join('; ')}${more}).`)
    }
    return note(row, { step: 'verified', contents: contentsDigest(copied) })
  }

  /** The copy is the tenant's from the mark on, and still nobody is sent there. */
  async function accept(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const certificate = await visit(
      name,
      async inside => {
        await dropOwnRights(inside, name)
        const [found] = await inside<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
        return found?.certificate
      },
      to,
    )
    if (certificate === undefined || certificate !== row.certificate) {
      throw new TransferFailed(`The copy of ${name} does not carry the tenant’s certificate: nothing was switched.`)
    }
    await sessionAt(to)(at =>
      at.begin(async tx => {
        await commentDatabase(tx, name, markText({ tenant: row.id, service, certificate }))
        await openRoleAt(tx, central, row.id, { service, credentials })
      }),
    )
    report({ type: 'handed_over', id: row.id })
    return note(row, { step: 'accepted' })
  }

  /** Nobody is let in from here on; what runs may end. Then the proof, and the old database gets another name. */
  async function close(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    const name = nameOf(row.id)
    const begun = await note(row, { step: 'closing' })
    await markMoving(central, row.id, { from, state: 'closing' })
    const ours = [await readPid(held)]
    await sessionAt(from)(async sql => {
      await sql`alter database ${sql(name)} allow_connections false`
      await endSessions(sql, name, { before: null, ours, patience: CLOSING })
    })
    const written = await rowsWritten(held)
    if (written !== (begun.frozen?.written ?? null)) {
      throw new TransferFailed(
        `Rows of ${name} were written during its move, past the rights of its role: find out who did. Nothing was switched.`,
      )
    }
    return begun
  }

  async function putAway(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    await sessionAt(from)(async sql => {
      if ((await inspectDatabase(sql, name)).state === 'absent') return
      await endSessions(sql, name, { before: null, ours: [], patience: { restMs: 0, graceMs: 0 } })
      await sql.begin(async tx => {
        await tx`alter database ${tx(name)} rename to ${tx(keptName(row.id, service))}`
        await commentDatabase(tx, keptName(row.id, service), keptMark(row.id, service, run))
      })
      await lookNoMore(sql, name)
    })
    return note(row, { step: 'closed' })
  }

  async function switchOver(row: TransferTenant): Promise<TransferTenant> {
    const frozenAt = row.frozen?.at ?? new Date().toISOString()
    await switchPlace(central, row.id, { run, from, to, key: credentials.current, frozenAt })
    report({ type: 'switched', id: row.id })
    return journal.tenants(run).then(rows => rows.find(one => one.id === row.id) as TransferTenant)
  }

  async function carryOut(row: TransferTenant): Promise<TransferTenant> {
    const name = nameOf(row.id)
    let now = row
    if (isBefore(now, 'prepared')) now = await prepare(now)
    if (isBefore(now, 'closing') || (now.step === 'closing' && (await isOpen(now)))) {
      now = await source.visit(held => whileFrozen(now, held), name)
    }
    if (now.step === 'closing') now = await putAway(now)
    if (now.step === 'closed') now = await switchOver(now)
    return now
  }

  async function whileFrozen(row: TransferTenant, held: SessionClient): Promise<TransferTenant> {
    let now = await freeze(row, held)
    if (now.step === 'frozen' || now.step === 'copying') now = await copy(now)
    // After a kill nobody kept watch in between: whatever was compared before is compared again.
    now = await verify(now)
    now = await accept(now)
    return close(now, held)
  }

  /** After a kill while it was being closed: it is let in again for as long as it takes to compare. */
  async function isOpen({ id }: TransferTenant): Promise<boolean> {
    const name = nameOf(id)
    return sessionAt(from)(async sql => {
      if ((await inspectDatabase(sql, name)).state === 'absent') return false
      await sql`alter database ${sql(name)} allow_connections true`
      return true
    })
  }

  async function undo(row: TransferTenant, error: string | null): Promise<TransferTenant> {
    if (row.step === 'switched' || row.step === 'dropped') {
      throw new TransferRefused(`${row.id} is on the instance ${to} already: to have it back, move it to ${from}.`)
    }
    const name = nameOf(row.id)
    const { certificate } = row
    const begun = await note(row, { step: 'undoing', error })
    await sessionAt(from)(async sql => {
      const kept = keptName(row.id, service)
      const found = await inspectDatabase(sql, kept)
      const mine = found.state === 'present' && parseKeptMark(found.comment, row.id, service) === run
      if (mine && certificate !== null) {
        await sql.begin(async tx => {
          await tx`alter database ${tx(kept)} rename to ${tx(name)}`
          await commentDatabase(tx, name, markText({ tenant: row.id, service, certificate }))
        })
      }
      await sql`alter database ${sql(name)} allow_connections true`
      await giveWriting(sql, rightsOf(row.id), service)
      if (from === HOME) await openRole(sql, row.id, { service, credentials })
      else {
        await openRoleAt(sql, central, row.id, { service, credentials })
        await noteKey(central, row.id, { service, credentials })
      }
    })
    await visit(name, inside => dropOwnRights(inside, name), from)
    await unmarkMoving(central, row.id)
    report({ type: 'thawed', id: row.id })
    await dropTarget(begun)
    report({ type: 'removed', id: row.id })
    return note(begun, { step: 'undone', frozen: null, contents: null })
  }

  return {
    carryOut,
    undo,
    async dropSource(row) {
      const known = await findTenant(central, row.id)
      if (row.step !== 'switched' || known?.instance !== to) {
        throw new TransferRefused(`${row.id} has not been moved to ${to} by this run: nothing was dropped.`)
      }
      await sessionAt(from)(sql => dropKept(sql, row.id, service))
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

/** How many steps there are until the switch. */
export const MOVE_STEPS = order.indexOf('switched')

const isBefore = ({ step }: TransferTenant, other: TransferStep): boolean => order.indexOf(step) < order.indexOf(other)
