// Where all that is switched together waits for each other, the services of a tenant or of a group of tenants: a source is closed only once
// all of them are ready for the switch. Invariant: one that fails ends the wait of the others, and their copies, with its reason.

export interface Meeting {
  /** @returns whether all are there. @throws the reason of one that has failed */
  arrive(who: string): boolean
  fail(error: Error): void
  /** Aborted with the reason once one has failed: the others need not go on with a copy that is not wanted. */
  readonly failed: AbortSignal
  /** By `performance.now()`, when the last one came; null before. */
  readonly metAt: number | null
}

export function createMeeting(expected: number): Meeting {
  const there = new Set<string>()
  const failed = new AbortController()
  let metAt: number | null = null
  return {
    arrive(who) {
      failed.signal.throwIfAborted()
      there.add(who)
      if (there.size < expected) return false
      metAt ??= performance.now()
      return true
    },
    fail(error) {
      failed.abort(error)
    },
    failed: failed.signal,
    get metAt() {
      return metAt
    },
  }
}
