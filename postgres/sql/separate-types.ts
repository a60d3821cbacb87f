// A second way to read and write values through one client: the same scope, connections and transactions, with parsers and
// serializers apart. Invariant: neither changes a value of the other.

import type { Codecs, DriverQuery } from '../connections/driver.js'
import { createOwnCodecs } from '../connections/own-codecs.js'
import type { SqlClient, TransactionClient } from '../types.js'
import { leasableAs } from './session-lease.js'
import { type CodecOwner, retag } from './tagged-template.js'

type Work<T> = (sql: TransactionClient) => T | Promise<T>
type Nest = <T>(...how: [string, Work<T>] | [Work<T>]) => Promise<T>
type Nesting = { begin?: Nest; savepoint?: Nest }

/**
 * The same client for a caller that reads and writes values in another way, such as an ORM beside queries of your own.
 * @param codecs by the type's oid, over those of `postgres`
 * @example const db = drizzle({ client: separateTypes(request.sql) })
 */
export function separateTypes<Client extends SqlClient | TransactionClient>(
  sql: Client,
  { parsers, serializers }: Partial<Readonly<Codecs>> = {},
): Client {
  const codecs = createOwnCodecs()
  Object.assign(codecs.parsers, parsers)
  Object.assign(codecs.serializers, serializers)
  return apart(sql, { codecs })
}

function apart<Client extends SqlClient | TransactionClient>(sql: Client, owner: CodecOwner): Client {
  const tag = retag(sql, owner) as Client & Nesting
  leasableAs(tag, sql, owner)
  for (const name of ['begin', 'savepoint'] as const) {
    const nest = (sql as Nesting)[name]
    if (!nest) continue
    tag[name] = ((...how: unknown[]) => {
      const work = how.pop() as Work<unknown>
      return nest(...([...how, (inner: TransactionClient) => work(apart(inner, owner))] as [Work<unknown>]))
    }) as never
  }
  return tag
}

/** Makes one query of a client that was not awaited yet read and write values by `codecs`. */
export function readAs<Query extends PromiseLike<unknown>>(query: Query, codecs: Codecs): Query {
  ;(query as unknown as DriverQuery).codecs = codecs
  return query
}
