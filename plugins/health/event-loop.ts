// Owns how late the event loop is, by a timer that ought to fire every half second. A process that stands still can tell
// so only afterwards; while it stands, not even the live probe answers, and that is what restarts it.
import { performance } from 'node:perf_hooks'

/** Milliseconds between ticks. */
export const TICK_MS = 500
/** As late as this is standing still: the overload plugin refuses requests from here on, and probes begin to time out. */
export const STALLED_MS = 1000
/** Milliseconds for which a standstill is told: two people who look one after the other should both see it. */
export const REPORTED_FOR_MS = 60_000

export interface EventLoopWatch {
  /** To be called every {@link TICK_MS}, with `performance.now()`. */
  tick(now: number): void
  /** `latencyMs`: how late the last tick was. `utilization`: share of the time before it that the loop was busy. */
  state(now: number): { status: 'up' | 'down'; latencyMs: number; utilization: number; detail?: string }
}

/** `onStall` hears how many milliseconds it stood still. */
export function createEventLoopWatch(onStall: (ms: number) => void): EventLoopWatch {
  let due: number | null = null
  let late = 0
  let utilization = 0
  let before = performance.eventLoopUtilization()
  let stall: { at: number; ms: number } | null = null

  return {
    tick(now) {
      late = due === null ? 0 : Math.max(0, now - due)
      due = now + TICK_MS
      const used = performance.eventLoopUtilization()
      utilization = performance.eventLoopUtilization(used, before).utilization
      before = used
      if (late < STALLED_MS) return
      stall = { at: now, ms: late }
      onStall(Math.round(late))
    },
    state(now) {
      const reported = stall && now - stall.at < REPORTED_FOR_MS ? stall : null
      return {
        status: reported ? 'down' : 'up',
        latencyMs: Math.round(late * 100) / 100,
        utilization: Math.round(utilization * 1000) / 1000,
        ...(reported && {
          detail: `stood still for ${(reported.ms / 1000).toFixed(1)} s, ${Math.round((now - reported.at) / 1000)} s ago`,
        }),
      }
    },
  }
}
