// Reading by cursor. The driver's own `for await` ends as if all rows had come when the connection is lost between two
// batches (docs/decisions/0001), so ours uses its callback form, whose promise does fail.
import type { DriverQuery } from '../connections/driver.js'

type CursorFn = (rows: unknown) => unknown

type Native = (rows: number, fn: CursorFn) => Promise<unknown>

/** `cursor` with the arguments of its caller. `end` is the driver's answer for "no more rows, please". */
export function readByCursor(native: Native, end: unknown, [rowsOrFn, maybeFn]: readonly unknown[]): unknown {
  const rows = typeof rowsOrFn === 'number' ? rowsOrFn : 1
  const fn = typeof rowsOrFn === 'function' ? rowsOrFn : maybeFn
  return fn ? native(rows, fn as CursorFn) : batches(native, rows, end)
}

/** Not a race with the end: the winner of each race would stay in memory for as long as the end has not come. */
async function* batches(native: Native, rows: number, end: unknown): AsyncGenerator<unknown> {
  let arrived: (batch: Promise<{ rows: unknown } | null> | { rows: unknown } | null) => void = () => {}
  let over: Promise<null> | undefined
  const coming = (): Promise<{ rows: unknown } | null> => {
    const batch = new Promise<{ rows: unknown } | null>(resolve => {
      arrived = resolve
      if (over) resolve(over)
    })
    // A rejection is handled also when the reader has left.
    batch.catch(() => {})
    return batch
  }
  let continueWith: (answer: unknown) => void = () => {}
  let next = coming()
  const all = native(rows, batch => {
    const answer = new Promise(resolve => {
      continueWith = resolve
    })
    arrived({ rows: batch })
    return answer
  })
  const finished = all.then(() => null)
  // It may come while a batch is being read: then the next wait finds it.
  const ended = (): void => {
    over = finished
    arrived(finished)
  }
  finished.then(ended, ended)
  try {
    for (;;) {
      const batch = await next
      if (!batch) return
      next = coming()
      yield batch.rows
      continueWith(undefined)
    }
  } finally {
    continueWith(end)
    await finished.catch(() => {})
  }
}

export interface Reader {
  /** Resolves when the reader is done with the last batch; rejects with its error. */
  readonly finished: () => Promise<void>
}

export interface Batch {
  begins(): void
  ends(): void
  /** The connection is gone. */
  lost(): boolean
}

/**
 * A wrapper of the function that reads. The driver neither waits for it with the last batch nor sees it fail there; and when
 * it fails before, the cursor must be closed before the connection is used again.
 */
export function watchReader(query: DriverQuery, end: unknown, batch: Batch): Reader | null {
  const { cursorFn } = query
  if (!cursorFn) return null
  let failed: { readonly reason: unknown } | null = null
  let last: Promise<unknown> = Promise.resolve()
  query.cursorFn = rows => {
    batch.begins()
    last = (async () => cursorFn(rows))().then(
      answer => {
        batch.ends()
        return answer
      },
      reason => {
        failed = { reason }
        batch.ends()
        return end
      },
    )
    // The driver would ask a closed socket for the next batch, which ends the process (docs/decisions/0001): no answer.
    return last.then(answer => (batch.lost() ? new Promise(() => {}) : answer))
  }
  return {
    async finished() {
      await last
      if (failed) throw failed.reason
    },
  }
}
