// Where the services of one tenant wait for each other: a source is closed only once all of them are ready for the switch. Invariant:
// one that fails ends the wait of the others with its reason.

export interface Meeting {
  /** @returns whether all are there. @throws the reason of one that has failed */
  arrive(service: string): boolean
  fail(error: Error): void
  /** By `performance.now()`, when the last one came; null before. */
  readonly metAt: number | null
}

export function createMeeting(services: number): Meeting {
  const there = new Set<string>()
  let failed: Error | null = null
  let metAt: number | null = null
  return {
    arrive(service) {
      if (failed) throw failed
      there.add(service)
      if (there.size < services) return false
      metAt ??= performance.now()
      return true
    },
    fail(error) {
      failed ??= error
    },
    get metAt() {
      return metAt
    },
  }
}
