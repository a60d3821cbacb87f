// Owns the line of those who wait for one key: in order, each with a deadline, each forgotten once its scope is over.
// Pure: no I/O.
import { connectionClosed } from './failures.js'

/** Who waits. Once `over`, it gets nothing any more, so an aborted request never opens a connection. */
export interface Scope {
  readonly over: boolean
}

export interface Waiter<T> {
  resolve(value: T): void
  reject(error: Error): void
  /** Milliseconds since it joined. */
  waited(): number
}

export interface KeyQueue<T> {
  /** Those still waiting whose scope is not over. */
  readonly length: number
  /** When the first of them joined (`performance.now()`), Infinity when nobody waits. */
  readonly since: number
  /** Joins the line; at the deadline rejects with what `refuse` returns. */
  wait(scope: Scope, refuse: (waitedMs: number) => Error): Promise<T>
  /** Takes the first one out of the line. */
  next(): Waiter<T> | null
}

interface Place<T> extends Waiter<T> {
  readonly scope: Scope
  readonly since: number
  readonly timer: NodeJS.Timeout
}

export function createQueue<T>(deadlineMs: number): KeyQueue<T> {
  const line: Place<T>[] = []

  function prune(): void {
    while (line[0]?.scope.over) {
      const place = line.shift() as Place<T>
      clearTimeout(place.timer)
      place.reject(connectionClosed('the request was over before its turn came'))
    }
  }

  return {
    get length() {
      prune()
      return line.length
    },
    get since() {
      prune()
      return line[0]?.since ?? Number.POSITIVE_INFINITY
    },
    wait: (scope, refuse) =>
      new Promise<T>((resolve, reject) => {
        const since = performance.now()
        const waited = () => performance.now() - since
        const timer = setTimeout(() => {
          const at = line.indexOf(place)
          if (at < 0) return
          line.splice(at, 1)
          reject(refuse(waited()))
        }, deadlineMs)
        const place: Place<T> = { scope, since, timer, resolve, reject, waited }
        line.push(place)
      }),
    next() {
      prune()
      const place = line.shift()
      if (!place) return null
      clearTimeout(place.timer)
      return place
    },
  }
}
