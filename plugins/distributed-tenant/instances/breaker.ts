// Circuit breaker for one PostgreSQL instance: opens on SQLSTATE 53xxx (disk full 53100, too many connections 53300, memory)
// and on connection failures. Invariant: while it is open no part of ours tries to make a database there; then one try at a
// time, and its success closes it. Each service has its own instances, so no other service is affected. Backs off from 1 s,
// doubling, to 30 s.

import { performance } from 'node:perf_hooks'
import { backoffMs } from '../../../timing/backoff.js'
import type { BreakerReport } from '../diagnostics/steps.js'

export interface BreakerState {
  readonly open: boolean
  /** The code and message of the failure that opened it. */
  readonly reason: string | null
  /** No server listens there: not even a row can be written. */
  readonly unreachable: boolean
  /** Milliseconds until the next try; 0 when it may be now. */
  readonly retryInMs: number
}

export interface Breaker {
  state(): BreakerState
  /** Whether work may be done now. While open it admits only one caller at a time, which must call {@link watch}. */
  admits(): boolean
  /** Runs admitted work; its result closes or opens the breaker. */
  watch<T>(work: () => Promise<T>): Promise<T>
  /** Reports a failure met elsewhere. */
  blame(error: unknown): void
  /** Reports an answer of the instance: closes a breaker that a connection failure had opened. */
  reached(): void
}

const FIRST_MS = 1_000
const LONGEST_MS = 30_000

/** SQLSTATE class 53 is "insufficient resources": disk full, too many connections, out of memory. */
const STRAINED = /^53...$/
/** A server that is down, shuts down, starts up, or cut the connection: a full disk ends the whole server (PANIC on its log). */
const UNREACHABLE =
  /^(E(CONNREFUSED|CONNRESET|PIPE|HOSTUNREACH|NETUNREACH|TIMEDOUT|NOTFOUND|AI_AGAIN)|CONNECT_TIMEOUT|CONNECTION_(CLOSED|DESTROYED|ENDED)|57P0[1-3])$/

export function createBreaker(report: (event: BreakerReport) => void): Breaker {
  let reason: string | null = null
  let unreachable = false
  let failures = 0
  let until = 0
  let trying = false

  function blame(error: unknown): void {
    const cause = causeOf(error)
    // The failure of work that was under way when it opened is no news.
    if (cause === null || retryInMs() > 0) return
    const delay = backoffMs({ firstMs: FIRST_MS, longestMs: LONGEST_MS }, failures++)
    reason = `${cause.code}: ${cause.message}`.slice(0, 300)
    unreachable = UNREACHABLE.test(cause.code)
    until = performance.now() + delay
    report({ type: 'breaker_opened', reason, retryInMs: delay })
  }

  function close(): void {
    if (reason === null) return
    reason = null
    unreachable = false
    failures = 0
    report({ type: 'breaker_closed' })
  }

  const retryInMs = (): number => (reason === null ? 0 : Math.max(0, Math.ceil(until - performance.now())))

  return {
    state: () => ({ open: reason !== null, reason, unreachable, retryInMs: retryInMs() }),
    admits() {
      if (reason === null) return true
      if (trying || retryInMs() > 0) return false
      trying = true
      return true
    },
    async watch(work) {
      try {
        const result = await work()
        close()
        return result
      } catch (error) {
        if (causeOf(error) === null) close()
        else blame(error)
        throw error
      } finally {
        trying = false
      }
    },
    blame,
    reached() {
      if (unreachable) close()
    },
  }
}

/** The server's or the socket's own code, which our errors carry as their cause; null for any other failure. */
function causeOf(error: unknown): { code: string; message: string } | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = String((at as { code?: unknown }).code ?? '')
    if (STRAINED.test(code) || UNREACHABLE.test(code)) return { code, message: at.message }
  }
  return null
}
