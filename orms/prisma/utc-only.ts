// The refusal of moments that Prisma would read wrong. Its adapter (7.10.1) writes a `timestamptz` without a zone and reads it
// with its offset cut off, as if every session had UTC. Where the server has another time zone, what Prisma writes is another
// moment to SQL, and what SQL writes is another moment to Prisma (findings/prisma-timestamptz.sh). Invariant: a moment that was read
// is the one in the table, or the query is refused.
import { ConfigurationInvalid } from '../../plugins/distributed-tenant/index.js'
import type { Pool } from '../pg/index.js'

type Parse = (text: string) => unknown
type Types = { getTypeParser(oid: number, format?: string): Parse }
type Query = (query: unknown, ...more: unknown[]) => unknown
type Client = { query: Query }

/** `timestamptz` and a list of them. */
const moments = [1184, 1185]
/** PostgreSQL writes the offset of the session's time zone at the end of each moment. */
const offset = /[+-]\d\d(?::\d\d)*(?= BC|[",}]|$)/g

/** @throws CONFIGURATION_INVALID for a moment with another offset than that of UTC */
function refuseOtherZones(text: string): void {
  if ((text.match(offset) ?? []).every(found => found === '+00')) return
  throw new ConfigurationInvalid(
    "Prisma takes every timestamptz as UTC, and the time zone of this tenant’s sessions is another: moments would be wrong by its offset. Set it on the tenant’s server: `alter system set timezone = 'UTC'; select pg_reload_conf()`.",
  )
}

function utcOnly({ getTypeParser }: Types): Types {
  return {
    getTypeParser(oid, format) {
      const parse = getTypeParser(oid, format)
      if (!moments.includes(oid)) return parse
      return text => {
        refuseOtherZones(text)
        return parse(text)
      }
    },
  }
}

const guarded =
  (query: Query): Query =>
  (config, ...more) => {
    const types = (config as { types?: Types } | null)?.types
    return query(types ? { ...(config as object), types: utcOnly(types) } : config, ...more)
  }

function guardClient(client: unknown): unknown {
  const guardedClient = client as Client
  guardedClient.query = guarded(guardedClient.query.bind(guardedClient))
  return guardedClient
}

/** Guards the pool of Prisma's adapter: its queries, and those of the clients it connects. */
export function inUtcOnly(pool: Pool): Pool {
  const connect = pool.connect.bind(pool) as (then?: unknown) => Promise<unknown>
  pool.query = guarded(pool.query.bind(pool) as Query) as Pool['query']
  // With a callback it is called by `pool.query`, whose types are guarded.
  pool.connect = ((then?: unknown) =>
    then ? connect(then) : connect().then(guardClient)) as unknown as Pool['connect']
  return pool
}
