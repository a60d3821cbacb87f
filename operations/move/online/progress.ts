// The progress of a move as it is published: the phase, bytes done and left, the rate, and what it waits for.

import { setTimeout as sleep } from 'node:timers/promises'
import type { MoveProgress, TransferReport } from '../../../plugins/distributed-tenant/diagnostics/steps.js'
import type { TenantId } from '../../../plugins/distributed-tenant/types.js'

export interface Reporter {
  phase(phase: MoveProgress['phase']): void
  /** Asks about once a second how large the copy is. */
  watchCopy(all: number, ask: () => Promise<number>): { stop(): void }
  /** Bytes of the log that the target has not applied. */
  lag(bytes: number): void
  waits(what: string): void
}

const EVERY_MS = 1_000

export function createReporter(report: (event: TransferReport | MoveProgress) => void, id: TenantId): Reporter {
  const nothing = { done: null, all: null, lagBytes: null, rate: null, leftMs: null, waitsFor: null }
  let lag: { bytes: number; at: number } | null = null

  return {
    phase: phase => report({ type: 'progress', id, phase, ...nothing }),
    watchCopy(all, ask) {
      const began = performance.now()
      const over = new AbortController()
      const watch = async (): Promise<void> => {
        for (;;) {
          await sleep(EVERY_MS, undefined, { signal: over.signal, ref: false })
          // A target that cannot be asked fails the copy as well, with its reason.
          const done = await ask().catch(() => null)
          if (done === null) continue
          const rate = (done / (performance.now() - began)) * 1_000
          const leftMs = rate > 0 ? Math.max(0, ((all - done) / rate) * 1_000) : null
          report({ type: 'progress', id, phase: 'copying', ...nothing, done, all, rate, leftMs })
        }
      }
      // Rejects when it is stopped.
      watch().catch(() => {})
      return { stop: () => over.abort() }
    },
    lag(bytes) {
      const now = performance.now()
      const rate = lag && now > lag.at ? Math.max(0, ((lag.bytes - bytes) / (now - lag.at)) * 1_000) : null
      lag = { bytes, at: now }
      const leftMs = rate ? (bytes / rate) * 1_000 : null
      report({ type: 'progress', id, phase: 'following', ...nothing, lagBytes: bytes, rate, leftMs })
    },
    waits: what => report({ type: 'progress', id, phase: 'switching', ...nothing, waitsFor: what }),
  }
}
