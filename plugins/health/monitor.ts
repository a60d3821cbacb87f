// Owns how often the parts are asked: at most one check at a time, its answer good for a second, however many ask.
// A check that fails or hangs is an answer too: the central database is reported as down.
import type { TenancyHealth } from '../distributed-tenant/index.js'

export type Check = (deadlineMs: number) => Promise<TenancyHealth>
export type Observed = Pick<TenancyHealth, 'central' | 'cache' | 'events'> & Partial<TenancyHealth>

export interface Monitor {
  /** A check that is no older than a second. Never rejects. */
  current(): Promise<Observed>
}

const FRESH_MS = 1000
/** What a check may take beyond its own deadline before we stop waiting for it. */
const GRACE_MS = 500

export function createMonitor(check: Check, deadlineMs: number, onFailure: (error: unknown) => void): Monitor {
  let running: Promise<Observed> | undefined
  let last: { at: number; observed: Observed } | undefined

  async function observe(): Promise<Observed> {
    const observed = await within(deadlineMs + GRACE_MS, check(deadlineMs)).catch(error => {
      onFailure(error)
      return failed
    })
    last = { at: performance.now(), observed }
    running = undefined
    return observed
  }

  return {
    current() {
      if (last && performance.now() - last.at < FRESH_MS) return Promise.resolve(last.observed)
      running ??= observe()
      return running
    },
  }
}

const failed: Observed = {
  central: { status: 'down', detail: 'the check itself failed' },
  cache: { status: 'off' },
  events: { status: 'off' },
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the health check took longer than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
