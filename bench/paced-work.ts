// Work at a fixed pace whatever its answers do, as users send it: one that waits does not delay the next. A latency counts from when the
// work was due.
import { median } from './statistics.js'

export interface Seen {
  readonly count: number
  readonly failed: number
  /** Milliseconds; NaN without any. */
  readonly p50: number
  readonly p99: number
  readonly longest: number
}

export interface PacedWork {
  /** Begins a window; the work that is due from now on counts into it. */
  begin(): void
  /** Of the window, with what of it is still under way. */
  seen(): Promise<Seen>
  /** Begins nothing more and waits for what is under way. */
  stop(): Promise<void>
}

interface Window {
  readonly latencies: number[]
  failed: number
  underWay: number
}

/** `work` gets its number, from 1, and is counted as failed when it throws. */
export function startPaced(everyMs: number, work: (n: number) => Promise<unknown>): PacedWork {
  const began = performance.now()
  let window: Window = { latencies: [], failed: 0, underWay: 0 }
  let sent = 0
  let changed = (): void => {}

  async function one(due: number, into: Window): Promise<void> {
    into.underWay++
    try {
      await work(sent)
    } catch {
      into.failed++
    }
    into.latencies.push(performance.now() - due)
    into.underWay--
    changed()
  }

  const timer = setInterval(() => {
    for (let due = began + sent * everyMs; due <= performance.now(); due += everyMs) {
      sent++
      void one(due, window)
    }
  }, 1)

  async function settled(of: Window): Promise<void> {
    while (of.underWay > 0)
      await new Promise<void>(resolve => {
        changed = resolve
      })
  }

  return {
    begin() {
      window = { latencies: [], failed: 0, underWay: 0 }
    },
    async seen() {
      const of = window
      window = { latencies: [], failed: 0, underWay: 0 }
      await settled(of)
      const { failed, latencies } = of
      return { count: latencies.length, failed, ...distributionOf(latencies) }
    },
    async stop() {
      clearInterval(timer)
      await settled(window)
    },
  }
}

/** The p99 is the nearest rank: of less than a hundred values it is the greatest. */
export function distributionOf(values: readonly number[]): { p50: number; p99: number; longest: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (rank: number) => sorted[Math.max(0, rank)] ?? Number.NaN
  return { p50: median(sorted), p99: at(Math.ceil(sorted.length * 0.99) - 1), longest: at(sorted.length - 1) }
}
