// The watch over the disk of a server that is being filled. A server whose log finds no room ends, with all that it serves: so the copy
// ends before. How much is free is known where the operator's disk-space check knows it (disk-space.ts); elsewhere nothing is watched.
// If the server is down: it is asked again, as the work of the copy fails with that server's own reason.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import { sizeOf } from './byte-sizes.js'
import { type Coming, freeOf } from './disk-space.js'

export interface WatchedDisk extends Pick<Coming, 'ask' | 'host' | 'port'> {
  /** For messages: an instance, a service, or an address. */
  readonly label: string
}

const EVERY_MS = 500
/** Bytes. Four segments of the log: what a server needs to go on, and a busy one writes while it is looked at again. */
export const LEAST_FREE = 64 * 1024 * 1024

/** @returns how many bytes are free, where that is less than a server needs; else null, also where it is unknown */
export async function tooLittle(server: Pick<WatchedDisk, 'ask' | 'host' | 'port'>): Promise<number | null> {
  const free = await freeOf(server)
  return free === null || free >= LEAST_FREE ? null : free
}

/** @returns the TRANSFER_FAILED with which the copy must end, or null */
export async function fullDisk(server: WatchedDisk): Promise<Error | null> {
  const free = await tooLittle(server)
  return free === null
    ? null
    : new TransferFailed(`The disk of ${server.label} has ${sizeOf(free)} left: give it more room.`)
}

/** Looks again and again until it is stopped. `end` is called once, with the reason for which the copy must end. @returns the stop */
export function watchFor(look: () => Promise<Error | null>, end: (reason: Error) => void): () => void {
  const over = new AbortController()
  const watch = async (): Promise<void> => {
    for (;;) {
      await sleep(EVERY_MS, undefined, { signal: over.signal, ref: false })
      // A server that cannot be asked fails the work of the copy as well, with its reason.
      const reason = await look().catch(() => null)
      if (reason === null || over.signal.aborted) continue
      end(reason)
      return
    }
  }
  // Rejects when it is stopped.
  watch().catch(() => {})
  return () => over.abort()
}

/** Runs a copy to this disk. Its signal is aborted once the copy must end. @throws TRANSFER_FAILED, the reason, and what `copy` throws */
export async function whileRoom<T>(disk: WatchedDisk, copy: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const full = new AbortController()
  const stop = watchFor(
    () => fullDisk(disk),
    reason => full.abort(reason),
  )
  try {
    return await copy(full.signal)
  } catch (error) {
    // A program that was ended for it reports that alone.
    throw full.signal.aborted ? full.signal.reason : error
  } finally {
    stop()
  }
}
