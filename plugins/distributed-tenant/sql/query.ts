// Owns what a handler holds when it has written a query: the driver's own lazy query, made by us so that what differs (who
// takes it, cursors, COPY) stands on one prototype and costs nothing per query. Invariant: nothing is sent before it is
// awaited or told to execute.
import { type Driver, type DriverQuery, queryClassOf, unheard } from '../connections/driver.js'
import { cancelledByCaller } from '../connections/failures.js'
import { TenantClientMethod } from '../errors.js'
import { readByCursor } from './cursor.js'

export const COPY_REFUSED =
  'COPY holds a connection for as long as its reader likes; use a cursor, or insert rows in batches'

/** Takes a query that was awaited. */
export type Enter = (query: DriverQuery) => void

export interface QueryMaker {
  /** A query of a tagged template. */
  tagged(strings: readonly string[], args: readonly unknown[], enter: Enter): DriverQuery
  /** Makes any other query of the driver one of ours. */
  adopt(query: DriverQuery, enter: Enter): DriverQuery
}

/** Before it was sent, a cancelled query is settled here and never reaches a connection. */
function cancelUnsent(query: DriverQuery): void {
  unheard(query)
  query.cancelled = true
  query.reject(cancelledByCaller())
}

const refuseCopy = (method: string): Promise<never> => Promise.reject(new TenantClientMethod(method, COPY_REFUSED))

export function createQueryMaker(builder: Driver): QueryMaker {
  // No fields of its own: `adopt` gives this prototype to queries that the driver has made.
  class TenantQuery extends queryClassOf(builder) {
    readable(): Promise<never> {
      return refuseCopy('readable')
    }

    writable(): Promise<never> {
      return refuseCopy('writable')
    }

    override cursor(...how: unknown[]): unknown {
      const native = super.cursor as (...all: unknown[]) => DriverQuery
      return readByCursor((rows, fn) => native.call(this, rows, fn), builder.CLOSE, how)
    }

    // The driver goes through `handle` each time, which makes a promise also for a query that is long under way.
    // biome-ignore lint/suspicious/noThenProperty: a query is a promise
    override then<A = unknown, B = never>(
      onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null,
      onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
    ): Promise<A | B> {
      if (!this.executed) void start(this)
      return Promise.prototype.then.call(this, onFulfilled, onRejected) as Promise<A | B>
    }

    override catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<unknown> {
      return this.then(undefined, onRejected)
    }

    /** Starts it without anybody awaiting it; whoever does later still hears of its failure. */
    override async handle(): Promise<void> {
      if (this.executed) return
      unheard(this)
      await start(this)
    }

    /**
     * The driver looks here when the server has refused a statement, and sends a prepared one again then: behind what others
     * have sent on the same connection meanwhile, so that answers go to the wrong statement. One that shares its connection
     * fails instead, and is sent again by us, alone (see statement.ts).
     */
    get retried(): unknown {
      if (this.shares) this.prepared = false
      return (this as { again?: unknown }).again
    }

    set retried(error: unknown) {
      // Written anew: the driver would write what it has written already, and of a `t` for true make an `f`.
      Object.assign(this, { again: error, parameters: undefined })
      this.turn?.(false)
    }
  }

  return {
    tagged: (strings, args, enter) => new TenantQuery(strings, args, enter, cancelUnsent),
    adopt(query, enter) {
      Object.setPrototypeOf(query, TenantQuery.prototype)
      query.handler = enter
      query.canceller = cancelUnsent
      return query
    },
  }
}

/** A moment later, as in the driver: what is chained behind (`values()`, `cancel()`) still counts. */
async function start(query: DriverQuery): Promise<void> {
  query.executed = true
  await null
  query.handler(query)
}
