// What `move`, `drain` and `rebalance` have in common: the parts that a move needs, made of the command's options, and its progress.
import type { WorkOptions } from '../operations/move/how-to-move.js'
import type { OpenService } from '../operations/open-services.js'
import type { Context } from './context.js'
import { showMove } from './move-progress.js'

export async function howToMove({ tenancy }: OpenService, options: WorkOptions, signal?: AbortSignal) {
  const { howToMove: make } = await import('../operations/move/how-to-move.js')
  return make(tenancy, options, signal)
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
