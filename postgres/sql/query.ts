// The query of a handler: the driver's own lazy query, made by us so that our differences (where it enters, cursors, COPY,
// codecs of a caller's own) are on one prototype and cost nothing per query. Invariant: a query is not sent before it is awaited
// or executed.

import { type Driver, type DriverQuery, queryClassOf, unheard } from '../connections/driver.js'
import { cancelledByCaller } from '../connections/failures.js'
import { takesCodecs } from '../connections/own-codecs.js'
import { TenantClientMethod } from '../errors.js'
import { readByCursor } from './cursor.js'

export const COPY_REFUSED = 'COPY holds a connection until its reader is done; use a cursor, or insert rows in batches'

/** Receives a query that was awaited. */
export type Enter = (query: DriverQuery) => void

/** As the driver takes them for `sql.unsafe`. */
export interface TextOptions {
  simple: boolean
  prepare: boolean
}

export interface QueryMaker {
  /** A query of a tagged template. */
  tagged(strings: readonly string[], args: readonly unknown[], enter: Enter): DriverQuery
  /** A query of a text. */
  ofText(strings: readonly string[], args: readonly unknown[], options: TextOptions, enter: Enter): DriverQuery
}

/** Before it was sent, a cancelled query is settled here and never reaches a connection. */
function cancelUnsent(query: DriverQuery): void {
  unheard(query)
  query.cancelled = true
  query.reject(cancelledByCaller())
}

const refuseCopy = (method: string): Promise<never> => Promise.reject(new TenantClientMethod(method, COPY_REFUSED))

export function createQueryMaker(builder: Driver): QueryMaker {
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

    /** Starts it without a caller that awaits it; one that awaits it later still gets its failure. */
    override async handle(): Promise<void> {
      if (this.executed) return
      unheard(this)
      await start(this)
    }

    /**
     * The driver reads this when the server has refused a statement, and then sends a prepared one again: behind statements
     * that others have sent on the same connection meanwhile, so that answers go to the wrong statement. A statement that
     * shares its connection fails instead, and is sent again by us, alone (see statement.ts); so does one through a pooler, which
     * would be out of date under any name.
     */
    get retried(): unknown {
      if (this.shares || this.pooled) this.prepared = false
      return (this as { again?: unknown }).again
    }

    set retried(error: unknown) {
      // Parameters must be serialised again: the driver would serialise its own output, turning `t` (true) into `f`.
      Object.assign(this, { again: error, parameters: undefined })
      this.turn?.(false)
    }
  }

  takesCodecs(TenantQuery)

  return {
    tagged: (strings, args, enter) => new TenantQuery(strings, args, enter, cancelUnsent),
    ofText: (strings, args, options, enter) => new TenantQuery(strings, args, enter, cancelUnsent, options),
  }
}

/** A moment later, as in the driver: calls that are chained behind (`values()`, `cancel()`) still count. */
async function start(query: DriverQuery): Promise<void> {
  query.executed = true
  await null
  query.handler(query)
}
