// Owns the tagged-template surface over the driver's query builder: every query made here enters our handler instead of
// the driver's pool. What is unsafe on a leased connection says so when called.
import { readFile } from 'node:fs/promises'
import { type Driver, type DriverQuery, isQuery } from '../connections/driver.js'
import { TenantClientMethod } from '../errors.js'
import type { QueryClient } from '../types.js'

const refused: Readonly<Record<string, string>> = {
  listen:
    'a notification needs a connection that outlives the request; use fastify.notifications on the central database',
  subscribe: 'logical replication is not a tenant’s business; use the tenant events',
  reserve: 'a reserved connection would outlive its request; use sql.begin for statements that belong together',
  end: 'the connections belong to the plugin and are closed with it',
  close: 'the connections belong to the plugin and are closed with it',
  largeObject: 'a large object needs a session of its own; store bytea instead',
}

const streams = 'COPY holds a connection for as long as its reader likes; use a cursor, or insert rows in batches'

/** Makes a tag whose queries go to `enter` when they are first awaited. */
export function createTag(builder: Driver, enter: (query: DriverQuery) => void): QueryClient {
  const adopt = (value: unknown): unknown => {
    if (!isQuery(value)) return value
    value.handler = enter
    return Object.assign(value, {
      cursor: cursorOf(value, builder.CLOSE),
      readable: () => Promise.reject(new TenantClientMethod('readable', streams)),
      writable: () => Promise.reject(new TenantClientMethod('writable', streams)),
    })
  }
  const build = builder as unknown as (...all: unknown[]) => unknown
  const tag = (...all: unknown[]): unknown => adopt(build(...all))
  const refusals: Record<string, () => never> = {}
  for (const [name, reason] of Object.entries(refused)) {
    refusals[name] = () => {
      throw new TenantClientMethod(name, reason)
    }
  }
  return Object.assign(tag, refusals, {
    unsafe: (text: string, ...rest: [never?, never?]) => adopt(builder.unsafe(text, ...rest)),
    json: builder.json,
    array: builder.array,
    typed: builder.typed,
    types: builder.typed,
    notify: (channel: string, payload: string) => adopt(builder`select pg_notify(${channel}, ${payload})`),
    file: (path: string | URL, ...rest: unknown[]) => fileQuery(builder, enter, path, rest),
  }) as unknown as QueryClient
}

/** The text is read when the query is first awaited, as in the driver. */
function fileQuery(builder: Driver, enter: (query: DriverQuery) => void, path: string | URL, rest: unknown[]): unknown {
  const args = Array.isArray(rest[0]) ? rest[0] : []
  const query = builder.unsafe('', args as never[]) as unknown as DriverQuery & { strings: string[] }
  query.handler = async () => {
    try {
      query.strings = [await readFile(path, 'utf8')]
      enter(query)
    } catch (error) {
      query.reject(error)
    }
  }
  return query
}

type CursorFn = (rows: unknown) => unknown

/**
 * The driver's own `for await` ends as if all rows had come when the connection is lost between two batches (facts C).
 * Ours stands on its callback form, whose promise does fail. `end` is the driver's word for "no more rows, please".
 */
function cursorOf(query: DriverQuery, end: unknown) {
  const native = query.cursor.bind(query)
  return (rowsOrFn?: number | CursorFn, maybeFn?: CursorFn): unknown => {
    const rows = typeof rowsOrFn === 'number' ? rowsOrFn : 1
    const fn = typeof rowsOrFn === 'function' ? rowsOrFn : maybeFn
    return fn ? native(rows, fn) : batches(native, rows, end)
  }
}

async function* batches(native: DriverQuery['cursor'], rows: number, end: unknown): AsyncGenerator<unknown> {
  let deliver: (batch: { rows: unknown } | null) => void = () => {}
  let continueWith: (answer: unknown) => void = () => {}
  let next = new Promise<{ rows: unknown } | null>(resolve => {
    deliver = resolve
  })
  const all = native(rows, batch => {
    const answer = new Promise(resolve => {
      continueWith = resolve
    })
    deliver({ rows: batch })
    return answer
  })
  const finished = all.then(() => null)
  // Also heard when nobody is waiting for the next batch.
  finished.catch(() => {})
  try {
    for (;;) {
      const batch = await Promise.race([next, finished])
      if (!batch) return
      next = new Promise(resolve => {
        deliver = resolve
      })
      yield batch.rows
      continueWith(undefined)
    }
  } finally {
    continueWith(end)
    await finished.catch(() => {})
  }
}
