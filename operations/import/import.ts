// An import as a whole: tenants side by side, the services of one together, each frozen, copied, registered and
// awaited; and its rollback. Invariants: without a freeze a tenant's sources are closed
// once all its services are ready for it, or those of all tenants of its group; identity registers a tenant only when its data is in every service; before that
// a failure undoes the tenant everywhere, after it the source stays frozen and the import is resumed.
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferState, TransferTenant } from '../copying/journal.js'
import { isProven } from './import-tenant.js'
import { once } from './once.js'
import { createMeeting } from './online/meeting.js'
import { stateOf } from './online/places.js'
import type { ImportService, Part, Registrar } from './parts.js'
import { unregister } from './unregister.js'

export interface ImportOptions {
  readonly id: string
  readonly services: readonly ImportService[]
  readonly registrar: Registrar
  /** Tenants at once. */
  readonly parallel: number
  readonly signal?: AbortSignal | undefined
  readonly onBegin?: (tenants: number) => void
  readonly onTenant?: (outcome: ImportOutcome) => void
}

export interface ImportOutcome {
  readonly id: TenantId
  readonly state: 'ready' | 'failed' | 'undone' | 'thawed'
  readonly error: string | null
  readonly ms: number
  /** Without a freeze: milliseconds from when its sources were about to be closed; null where that was in an earlier run. */
  readonly closedMs: number | null
}

/** Brings every tenant of the import that is not ready yet. */
export async function runImport(options: ImportOptions): Promise<ImportOutcome[]> {
  const tenants = await partsOf(options)
  const open = [...tenants].filter(([, parts]) => parts.some(({ row }) => row.step !== 'ready'))
  await endAll(options, 'running')
  const together = open.some(([, parts]) => parts.some(({ row }) => row.online && stateOf(row).together))
  const all = once(() => bring(open.map(([, parts]) => parts)))
  const outcomes = await eachTenant(options, open, async (id, parts) => {
    const metAt = await (together ? all() : bring([parts]))
    await register(id, parts, options.registrar)
    return ['ready', metAt === null ? null : performance.now() - metAt]
  })
  const complete = outcomes.length === open.length && outcomes.every(({ state }) => state === 'ready')
  await endAll(options, complete ? 'done' : 'stopped')
  return outcomes
}

/**
 * Rolls an import back: its databases are removed, the source opened. A tenant that was registered is deleted at identity,
 * and its id is never used again. One that has been written to since is left as it is, and named.
 */
export async function rollBackImport(options: ImportOptions): Promise<ImportOutcome[]> {
  const tenants = [...(await partsOf(options))].filter(([, parts]) => parts.some(({ row }) => row.step !== 'undone'))
  const outcomes = await eachTenant(options, tenants, async (id, parts) => {
    if (parts.some(({ row }) => isRegistered(row))) await unregister(id, parts, options.registrar)
    await undo(parts, 'undone', null)
    return ['undone', null]
  })
  const complete = outcomes.length === tenants.length && outcomes.every(({ state }) => state === 'undone')
  await endAll(options, complete ? 'rolled_back' : 'stopped')
  return outcomes
}

/** Opens the sources of tenants that are ready, for writers there: none of those writes come along. */
export async function thawImport(options: ImportOptions): Promise<ImportOutcome[]> {
  const tenants = [...(await partsOf(options))].filter(
    ([, parts]) => parts.every(({ row }) => row.step === 'ready') && parts.some(({ row }) => row.frozen !== null),
  )
  return eachTenant(options, tenants, async (_, parts) => {
    await together(parts, part => part.transfer.thaw(part.row))
    return ['thawed', null]
  })
}

const isRegistered = ({ step }: TransferTenant): boolean => step === 'registering' || step === 'ready'

/**
 * Brings tenants that are switched together, or one. A failure takes back all of them that are not registered.
 * @returns by `performance.now()`, when their sources were about to be closed; null where that was in an earlier run
 */
async function bring(tenants: readonly (readonly Part[])[]): Promise<number | null> {
  const parts = tenants.filter(mine => !mine.some(({ row }) => isRegistered(row))).flat()
  // A tenant that failed, or was being undone when the process was killed, begins anew.
  for (const part of parts) {
    if (part.row.step === 'undoing') part.row = await part.transfer.undo(part.row, 'failed', part.row.error)
    if (part.row.step === 'failed') part.row = { ...part.row, step: 'pending' }
  }
  if (parts.some(({ row }) => row.online) && !parts.every(({ row }) => isProven(row))) {
    // The switch is one for all of them: one that was killed before all were through begins anew, with its sources open.
    for (const part of parts.filter(({ row }) => row.step !== 'pending')) {
      part.row = { ...(await part.transfer.undo(part.row, 'failed', null)), step: 'pending' }
    }
  }
  const meeting = createMeeting(parts.length)
  try {
    await together(parts, part => part.transfer.freeze(part.row))
    await together(parts, part =>
      part.transfer.bring(part.row, meeting).catch((error: Error) => {
        meeting.fail(error)
        throw error
      }),
    )
  } catch (error) {
    await undo(parts, 'failed', messageOf(error)).catch(second => {
      throw new TransferFailed(`${messageOf(error)} It was not taken back: ${messageOf(second)}`)
    })
    throw error
  }
  return meeting.metAt
}

async function register(id: TenantId, parts: readonly Part[], registrar: Registrar): Promise<void> {
  await together(parts, part => part.transfer.registering(part.row))
  const [{ row, report } = noTenant()] = parts
  await registrar.register(id, row.facts)
  report({ type: 'registered', id })
  await together(parts, part => part.transfer.ready(part.row))
}

async function undo(parts: readonly Part[], step: 'failed' | 'undone', error: string | null): Promise<void> {
  await together(
    parts.filter(({ row }) => row.step !== 'undone'),
    part => part.transfer.undo(part.row, step, error),
  )
}

/** All of a tenant's services at once; the first failure is thrown when each has come to its end. */
async function together(parts: readonly Part[], work: (part: Part) => Promise<TransferTenant>): Promise<void> {
  const outcomes = await Promise.allSettled(
    parts.map(async part => {
      part.row = await work(part)
    }),
  )
  const failed = outcomes.find(outcome => outcome.status === 'rejected')
  if (failed) throw failed.reason
}

async function partsOf({ id, services }: ImportOptions): Promise<Map<TenantId, Part[]>> {
  const tenants = new Map<TenantId, Part[]>()
  for (const service of services) {
    for (const row of await service.journal.tenants(id)) {
      const parts = tenants.get(row.id) ?? []
      tenants.set(row.id, parts)
      parts.push({ ...service, row })
    }
  }
  return tenants
}

async function endAll({ id, services }: ImportOptions, state: TransferState): Promise<void> {
  for (const { journal } of services) await journal.end(id, state)
}

async function eachTenant(
  { parallel, signal, onBegin, onTenant }: ImportOptions,
  tenants: readonly (readonly [TenantId, Part[]])[],
  work: (id: TenantId, parts: Part[]) => Promise<['ready' | 'undone' | 'thawed', number | null]>,
): Promise<ImportOutcome[]> {
  const line = tenants[Symbol.iterator]()
  const outcomes: ImportOutcome[] = []
  onBegin?.(tenants.length)

  async function worker(): Promise<void> {
    for (const [id, parts] of line) {
      const started = performance.now()
      const done = (state: ImportOutcome['state'], error: string | null, closed: number | null = null): void => {
        const closedMs = closed === null ? null : Math.round(closed)
        const outcome = { id, state, error, ms: Math.round(performance.now() - started), closedMs }
        outcomes.push(outcome)
        onTenant?.(outcome)
      }
      try {
        const [state, closedMs] = await work(id, parts)
        done(state, null, closedMs)
      } catch (error) {
        done('failed', messageOf(error))
      }
      if (signal?.aborted) return
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, parallel) }, worker))
  return outcomes
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function noTenant(): never {
  throw new TransferFailed('A tenant without a database in any service cannot be imported.')
}
