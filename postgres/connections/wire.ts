// The queue of queries for the driver's one connection, past the driver's own queues: those serve half of the queries that
// waited while connecting and let later ones overtake the rest (docs/decisions/0001). Invariant: in order, and no query is sent
// behind a statement that the server must describe first.
// If the connection is lost: the owner of the queue fails the queries in it.
import type { DriverConnection, DriverQuery } from './driver.js'

export interface Wire {
  /** The driver's connection is open: queries in the queue are sent. */
  connect(driver: DriverConnection): void
  /** Sends a query, now or as soon as it may follow. */
  enter(query: DriverQuery): void
  /** The same, before the queries in the queue. */
  enterFirst(query: DriverQuery): void
  /** A query that was sent has got its answer or its error. */
  answered(): void
  /** A query that was sent has no answer yet. */
  isBusy(): boolean
  /** Removes and returns the queries that were not sent yet. */
  drain(): DriverQuery[]
}

/** @param hand gives one query to the driver; returns whether another may follow before its answer */
export function createWire(hand: (driver: DriverConnection, query: DriverQuery) => boolean): Wire {
  const held: DriverQuery[] = []
  let driver: DriverConnection | null = null
  let blocked = false
  let underWay = 0

  function send(query: DriverQuery): void {
    if (query.cancelled) return
    underWay++
    if (!hand(driver as DriverConnection, query)) blocked = true
  }

  function flush(): void {
    while (driver && !blocked && held.length > 0) send(held.shift() as DriverQuery)
  }

  return {
    connect(connection) {
      driver = connection
      flush()
    },
    enter(query) {
      if (driver && !blocked && held.length === 0) send(query)
      else held.push(query)
    },
    enterFirst(query) {
      held.unshift(query)
      if (!blocked) flush()
    },
    answered() {
      if (--underWay > 0) return
      blocked = false
      // Not yet: the driver is still busy with the answer.
      if (held.length > 0) queueMicrotask(flush)
    },
    isBusy: () => underWay > 0,
    drain: () => held.splice(0),
  }
}
