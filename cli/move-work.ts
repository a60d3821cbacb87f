// What `move`, `drain` and `rebalance` have in common: the parts that a move needs, made of the command's options, and its progress.
import type { OpenService } from '../operations/open-services.js'
import type { Context } from './context.js'
import { showMove } from './move-progress.js'

export interface WorkOptions {
  readonly jobs: number
  readonly programs?: string
  readonly folder: string
}

export async function howToMove({ tenancy }: OpenService, options: WorkOptions, signal?: AbortSignal) {
  const { inherited } = await import('../operations/child-environment.js')
  const { createPrograms } = await import('../operations/copying/pg-programs.js')
  const { createJournal } = await import('../operations/copying/journal.js')
  const { administratorLogin } = await import('../operations/targets.js')
  const { createAdministrator } = await import('../operations/move/online/administrator.js')
  const login = administratorLogin()
  const admin = login && createAdministrator(tenancy.move, login)
  const how = {
    programs: createPrograms({ folder: options.programs, environment: inherited() }),
    journal: createJournal(tenancy.move.central),
    folder: options.folder,
    jobs: options.jobs,
    signal,
    admin,
  }
  return { how, close: async () => admin?.close() }
}

/** Runs the work with its progress shown; a signal of the system interrupts it at its next step. */
export async function watchedMove(
  context: Context,
  service: OpenService,
  options: WorkOptions,
  lost: AbortSignal,
  work: (how: Awaited<ReturnType<typeof howToMove>>['how']) => Promise<void>,
): Promise<void> {
  const interrupted = new AbortController()
  const interrupt = () => interrupted.abort()
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  const { json } = context.output
  const end = showMove({ origin: service.tenancy.origin, show: context.showProgress, json })
  const { how, close } = await howToMove(service, options, AbortSignal.any([interrupted.signal, lost]))
  try {
    await work(how)
  } finally {
    await close()
    end()
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
}
