// Owns the tagged-template surface over the driver's query builder: every query made here enters our handler instead of
// the driver's pool. What is unsafe on a leased connection says so when called.
import { readFile } from 'node:fs/promises'
import postgres from 'postgres'
import { type Driver, type DriverQuery, isQuery, unheard } from '../connections/driver.js'
import { cancelledByCaller } from '../connections/failures.js'
import { TenantClientMethod } from '../errors.js'
import type { QueryClient } from '../types.js'
import { cursorOf } from './cursor.js'
import { COPY_REFUSED } from './use.js'

const refusals = refuse({
  listen:
    'a notification needs a connection that outlives the request; use fastify.notifications on the central database',
  subscribe: 'logical replication is not a tenant’s business; use the tenant events',
  reserve: 'a reserved connection would outlive its request; use sql.begin for statements that belong together',
  end: 'the connections belong to the plugin and are closed with it',
  close: 'the connections belong to the plugin and are closed with it',
  largeObject: 'a large object needs a session of its own; store bytea instead',
})

function refuse(reasons: Readonly<Record<string, string>>): Record<string, () => never> {
  const refused = Object.entries(reasons).map(([name, reason]) => [
    name,
    () => {
      throw new TenantClientMethod(name, reason)
    },
  ])
  return Object.fromEntries(refused)
}

const copyRefused = {
  readable: () => Promise.reject(new TenantClientMethod('readable', COPY_REFUSED)),
  writable: () => Promise.reject(new TenantClientMethod('writable', COPY_REFUSED)),
}

/** Before it was sent, a cancelled query is settled here and never reaches a connection. */
function cancelUnsent(query: DriverQuery): void {
  unheard(query)
  query.cancelled = true
  query.reject(cancelledByCaller())
}

/** Makes a tag whose queries go to `enter` when they are first awaited. */
export function createTag(builder: Driver, enter: (query: DriverQuery) => void): QueryClient {
  const adopt = <T>(value: T): T => {
    if (!isQuery(value)) return value
    value.handler = enter
    value.canceller = cancelUnsent
    return Object.assign(value, copyRefused, { cursor: cursorOf(value, builder.CLOSE) })
  }
  const build = builder as unknown as (...all: unknown[]) => unknown
  const tag = (...all: unknown[]): unknown => adopt(build(...all))
  const unsafe = (text: string, ...rest: [never?, never?]) => adopt(builder.unsafe(text, ...rest))
  return Object.assign(tag, refusals, {
    unsafe,
    json: builder.json,
    array: builder.array,
    typed: builder.typed,
    types: builder.typed,
    CLOSE: builder.CLOSE,
    END: builder.CLOSE,
    PostgresError: postgres.PostgresError,
    notify: (channel: string, payload: string) =>
      adopt(builder`select pg_notify(${channel}, ${`${payload}`})` as unknown as DriverQuery).execute(),
    file(path: string | URL, ...rest: [never?, never?]) {
      const query = unsafe('', ...rest) as unknown as DriverQuery & { strings: string[] }
      // The text is read when the query is first awaited, as in the driver.
      query.handler = () => {
        readFile(path, 'utf8').then(
          text => {
            query.strings = [text]
            enter(query)
          },
          error => query.reject(error),
        )
      }
      return query
    },
  }) as unknown as QueryClient
}
