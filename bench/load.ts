// The closed loop of the load generator: so many connections, each sends its next request when it has its reply. What is
// counted lies between record() and stop(): what came back then, with its latency. A reply other than 2xx is a failure.
import { setTimeout as sleep } from 'node:timers/promises'
import { HttpConnection } from './http-connection.js'

export interface Measure {
  /** Successful requests per second. */
  readonly rps: number
  /** Milliseconds, of the successful ones. */
  readonly p50: number
  readonly p99: number
  readonly succeeded: number
  readonly failed: number
  /** Replies by status; 0 is a lost connection. */
  readonly statuses: Readonly<Record<string, number>>
}

export interface Load {
  /** Begins to record, and forgets what was recorded. */
  record(): void
  /** What was recorded, while it goes on. */
  soFar(): Measure
  /** Sends nothing more, waits for the requests under way, returns the record. */
  stop(): Promise<Measure>
}

/** The time in which a stuck server has to answer before the benchmark gives up on it. */
const DRAIN_MS = 15_000

export function startLoad(port: number, connections: number, nextRequest: () => string): Load {
  let recording = false
  let over = false
  let began = 0
  let underWay = 0
  let latencies: number[] = []
  let statuses: Record<string, number> = {}
  let drained: (() => void) | undefined

  const open = Array.from({ length: connections }, () => new HttpConnection(port))
  for (const connection of open) loop(connection)

  function loop(connection: HttpConnection): void {
    const sent = performance.now()
    underWay++
    connection.send(nextRequest(), ({ status }) => {
      underWay--
      if (recording) {
        statuses[status] = (statuses[status] ?? 0) + 1
        if (status >= 200 && status < 300) latencies.push(performance.now() - sent)
      }
      if (over) {
        if (underWay === 0) drained?.()
      } else if (status === 0) setTimeout(() => (over ? undefined : loop(connection)), 20)
      else loop(connection)
    })
  }

  return {
    record() {
      latencies = []
      statuses = {}
      began = performance.now()
      recording = true
    },
    soFar: () => measured(latencies, statuses, (performance.now() - began) / 1000),
    async stop() {
      recording = false
      const seconds = (performance.now() - began) / 1000
      over = true
      const all = new Promise<void>(resolve => {
        drained = resolve
      })
      const late = new AbortController()
      const cut = sleep(DRAIN_MS, undefined, { signal: late.signal }).catch(() => {})
      if (underWay > 0) await Promise.race([all, cut])
      late.abort()
      for (const connection of open) connection.cut()
      return measured(latencies, statuses, seconds)
    },
  }
}

function measured(latencies: number[], statuses: Record<string, number>, seconds: number): Measure {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  const all = Object.values(statuses).reduce((sum, count) => sum + count, 0)
  return {
    rps: sorted.length / seconds,
    p50: at(0.5),
    p99: at(0.99),
    succeeded: sorted.length,
    failed: all - sorted.length,
    statuses,
  }
}

export function request(path: string, header: string, tenant: string, token?: string): string {
  const proof = token === undefined ? '' : `authorization: Bearer ${token}\r\n`
  return `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${header}: ${tenant}\r\n${proof}\r\n`
}
