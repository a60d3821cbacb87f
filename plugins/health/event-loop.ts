// The delay of the event loop, measured by a timer that is due every half second. A blocked process can report a stall only
// afterwards; meanwhile not even the live probe answers, and that is what restarts it.
import { performance } from 'node:perf_hooks'

/** Milliseconds between ticks. */
export const TICK_MS = 500
/** A delay from here on is a stall: the overload plugin refuses requests, and probes begin to time out. */
export const STALLED_MS = 1000
/** Milliseconds for which a stall is reported: two people who check one after the other should both see it. */
export const REPORTED_FOR_MS = 60_000

export interface EventLoopWatch {
  /** To be called every {@link TICK_MS}, with `performance.now()`. */
  tick(now: number): void
  /** `latencyMs`: how late the last tick was. `utilization`: share of the time before it that the loop was busy. */
  state(now: number): { status: 'up' | 'down'; latencyMs: number; utilization: number; detail?: string }
}

/** `onStall` gets the milliseconds of the stall. */
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
          detail: `stalled for ${(reported.ms / 1000).toFixed(1)} s, ${Math.round((now - reported.at) / 1000)} s ago`,
        }),
      }
    },
  }
}
