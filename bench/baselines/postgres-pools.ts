// The Map of `postgres` pools that two rivals share: made at a tenant's first request, kept for ever.
import postgres from 'postgres'
import { type ArmConfig, databaseOf } from '../arm.js'

export interface PostgresPools {
  of(tenant: string): postgres.Sql
  /** Makes this many more, unconnected, to weigh them. */
  create(count: number): void
}

export function postgresPools(
  { login, service }: ArmConfig,
  options: postgres.Options<Record<string, never>>,
): PostgresPools {
  const pools = new Map<string, postgres.Sql>()
  function of(tenant: string): postgres.Sql {
    let sql = pools.get(tenant)
    if (!sql) {
      sql = postgres({ ...login, database: databaseOf(tenant, service), max: 10, onnotice() {}, ...options })
      pools.set(tenant, sql)
    }
    return sql
  }
  return {
    of,
    create(count) {
      for (let n = 0; n < count; n++) of(`idle-${n}`)
    },
  }
}
