// A wait that a signal can end early.
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves after `ms` or as soon as `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
