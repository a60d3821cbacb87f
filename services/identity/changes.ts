// Owns the feed: what identity says of each tenant, in the order in which it was committed (migration 002 says how). One
// statement, one snapshot: a tenant that changes again appears again further on, so nothing is missed and nothing is old.
import type { JsonObject, Lifecycle, SqlClient, TenantId } from '../../plugins/distributed-tenant/index.js'

export interface Change {
  seq: number
  id: TenantId
  version: number
  name: string
  domain: string | null
  settings: JsonObject
  lifecycle: Lifecycle
  deletedAt: Date | null
  purgeAfter: Date | null
  purgeable: boolean
}

type Raw = Omit<Change, 'seq' | 'version'> & { seq: string; version: string }

const changeOf = (raw: Raw): Change => ({ ...raw, seq: Number(raw.seq), version: Number(raw.version) })

export interface Changes {
  /** At most `limit` tenants that changed behind `after`, the newest change's number, and where to go on. */
  list(after: number, limit: number): Promise<{ items: Change[]; next: number; head: number }>
  find(id: TenantId): Promise<Change | null>
}

export function createChanges(central: SqlClient): Changes {
  const columns = central`
    c.seq, t.id, t.version, t.name, t.domain, t.settings, t.lifecycle, t.deleted_at as "deletedAt",
    t.purge_after as "purgeAfter", coalesce(t.lifecycle = 'deleted' and t.purge_after <= now(), false) as purgeable`

  return {
    async list(after, limit) {
      // The head first: what is committed between the two is behind it and only makes the reader ask once more.
      const [newest] = await central<{ head: string }[]>`select coalesce(max(seq), 0) as head from tenant_changes`
      const rows = await central<Raw[]>`
        select ${columns} from tenant_changes c join tenants t on t.id = c.tenant_id
        where c.seq > ${after} order by c.seq limit ${limit}`
      const items = rows.map(changeOf)
      const next = items.at(-1)?.seq ?? after
      return { items, next, head: Math.max(Number(newest?.head), items.at(-1)?.seq ?? 0) }
    },
    async find(id) {
      const [row] = await central<Raw[]>`
        select ${columns} from tenant_changes c join tenants t on t.id = c.tenant_id where t.id = ${id}`
      return row ? changeOf(row) : null
    },
  }
}
