// The queue of waiters of one key: in order, each with a deadline, each removed as soon as its scope is over.
// Pure: no I/O.

import { guarded } from '../../timing/timers.js'
import { connectionClosed } from '../connections/failures.js'
import type { Shareable } from './statement-sharing.js'

/** The scope of a waiter. Once `over`, it gets nothing any more, so an aborted request never opens a connection. */
export interface Scope {
  readonly over: boolean
  /** Calls back once when it is over; returns the function that unsubscribes. */
  onOver(leave: () => void): () => void
}

export interface Waiter<T> {
  readonly shareable: Shareable | null
  resolve(value: T): void
  reject(error: Error): void
  /** Milliseconds since it joined. */
  waited(): number
}

export interface WaitOptions {
  /** Its claim to share a connection, see statement-sharing.ts. */
  readonly shareable: Shareable | null
  /** The error at its deadline. */
  readonly refuse: (waitedMs: number) => Error
  /** Called when it left without a lease. */
  readonly left: () => void
}

export interface KeyQueue<T> {
  readonly length: number
  /** When the first of them joined (`performance.now()`), Infinity when the queue is empty. */
  readonly since: number
  wait(scope: Scope, options: WaitOptions): Promise<T>
  /** The first one, which stays in the queue. */
  first(): Waiter<T> | null
  /** Removes the first one from the queue. */
  next(): Waiter<T> | null
}

interface Place<T> extends Waiter<T> {
  readonly since: number
  /** Ends its deadline and its watch on the scope. */
  readonly settle: () => void
}

export const createQueue = <T>(deadlineMs: number): KeyQueue<T> => new WaitQueue(deadlineMs)

/** A class: an object literal with getters has a hidden class of its own, which keeps it until a full collection. */
class WaitQueue<T> implements KeyQueue<T> {
  readonly #line: Place<T>[] = []
  readonly #deadlineMs: number

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs
  }

  get length(): number {
    return this.#line.length
  }

  get since(): number {
    return this.#line[0]?.since ?? Number.POSITIVE_INFINITY
  }

  wait(scope: Scope, { shareable, refuse, left }: WaitOptions): Promise<T> {
    const line = this.#line
    return new Promise<T>((resolve, reject) => {
      const since = performance.now()
      const waited = () => performance.now() - since
      const leave = (why: () => Error): void => {
        line.splice(line.indexOf(place), 1)
        place.settle()
        reject(why())
        left()
      }
      let last: NodeJS.Immediate | undefined
      // Behind a blocked event loop a connection that was returned in time is still given to it.
      const timer = setTimeout(() => {
        last = setImmediate(() => guarded(() => leave(() => refuse(waited()))))
      }, this.#deadlineMs)
      const off = scope.onOver(() => leave(() => connectionClosed('the request ended before a connection was free')))
      const settle = () => {
        clearTimeout(timer)
        clearImmediate(last)
        off()
      }
      const place: Place<T> = { shareable, since, settle, resolve, reject, waited }
      line.push(place)
    })
  }

  first(): Waiter<T> | null {
    return this.#line[0] ?? null
  }

  next(): Waiter<T> | null {
    const place = this.#line.shift()
    if (!place) return null
    place.settle()
    return place
  }
}
