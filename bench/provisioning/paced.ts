// Requests at a fixed pace whatever the answers do, each on a connection that is free: the latency that a user has beside the work
// that is measured. A request that finds the service slow is not spared, and neither is the next one.
import { HttpConnection } from '../http-connection.js'

export interface Paced {
  readonly sent: number
  readonly failed: number
  readonly p50: number
  readonly p99: number
}

export interface PacedLoad {
  /** Sends nothing more and waits for what is under way. */
  stop(): Promise<Paced>
}

export function startPaced(port: number, perSecond: number, nextRequest: () => string): PacedLoad {
  const free: HttpConnection[] = []
  const all: HttpConnection[] = []
  const latencies: number[] = []
  let failed = 0
  let sent = 0
  let underWay = 0
  let drained: (() => void) | undefined
  const began = performance.now()

  function send(due: number): void {
    const connection = free.pop() ?? new HttpConnection(port)
    if (!all.includes(connection)) all.push(connection)
    underWay++
    connection.send(nextRequest(), ({ status }) => {
      underWay--
      // From when it was due: lateness of the generator under load is part of the wait of a user.
      if (status >= 200 && status < 300) latencies.push(performance.now() - due)
      else failed++
      free.push(connection)
      if (underWay === 0) drained?.()
    })
  }

  const timer = setInterval(() => {
    for (let due = began + (sent * 1000) / perSecond; due <= performance.now(); due += 1000 / perSecond) {
      sent++
      send(due)
    }
  }, 2)

  return {
    async stop() {
      clearInterval(timer)
      if (underWay > 0) await new Promise<void>(resolve => (drained = resolve))
      for (const connection of all) connection.cut()
      const sorted = latencies.sort((a, b) => a - b)
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
      return { sent, failed, p50: at(0.5), p99: at(0.99) }
    },
  }
}
