// The last minutes of the process's tenant connections: a sample every few seconds of who holds and who waits. It costs no
// query and no connection; about 200 kB at most.
import { every } from '../../timing/timers.js'
import type { ConnectionInfo } from '../distributed-tenant/index.js'

export interface ConnectionSample {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly inUse: number
  readonly idle: number
  readonly opening: number
  readonly waiting: number
  /** Since the start. */
  readonly evicted: number
  readonly refused: number
  /** Those with the most connections and waits: name of the database, open, waiting. */
  readonly top: readonly (readonly [database: string, open: number, waiting: number])[]
}

export interface ConnectionHistory {
  /** Oldest first. */
  samples(): readonly ConnectionSample[]
  close(): void
}

const SAMPLE_MS = 5_000
/** Ten minutes. */
const SAMPLES = 120
const TOP = 10

export function recordConnections(info: () => ConnectionInfo, onError: (error: unknown) => void): ConnectionHistory {
  const samples: ConnectionSample[] = []

  function sample(): void {
    const { inUse, idle, opening, waiting, evicted, refused, tenants } = info()
    const top = Object.entries(tenants)
      .filter(([, one]) => one.open > 0 || one.waiting > 0)
      .sort(([, a], [, b]) => b.open + b.waiting - a.open - a.waiting)
      .slice(0, TOP)
      .map(([database, one]) => [database, one.open, one.waiting] as const)
    samples.push({ at: Date.now(), inUse, idle, opening, waiting, evicted, refused, top })
    if (samples.length > SAMPLES) samples.shift()
  }

  const stop = every(SAMPLE_MS, async () => sample(), onError)
  return { samples: () => samples, close: stop }
}
