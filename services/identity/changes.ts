// The feed: identity's state of each tenant, in the order of the commits (see migration 002). A tenant that changes again
// appears again further on, so no change is missed. Invariant: a page is bounded in rows and in bytes, so
// that no reader's deadline depends on the size of tenants' settings.
import {
  type JsonObject,
  type Lifecycle,
  readHistory,
  type SqlClient,
  type TenantId,
} from '../../plugins/distributed-tenant/index.js'
import { readPage } from '../http/paging.js'

export interface Change {
  seq: number
  id: TenantId
  version: number
  name: string
  domain: string | null
  settings: JsonObject
  lifecycle: Lifecycle
  incarnation: string | null
  ledger?: { status: string; revision: number } | null
  deletedAt: Date | null
  purgeAfter: Date | null
  purgeable: boolean
}

type Raw = Omit<Change, 'seq' | 'version'> & { seq: string; version: string; status?: string | null; revision?: string }

function changeOf({ status, revision, ...raw }: Raw): Change {
  const ledger = status === undefined ? {} : { ledger: status === null ? null : { status, revision: Number(revision) } }
  return { ...raw, seq: Number(raw.seq), version: Number(raw.version), ...ledger }
}

export interface Page {
  items: Change[]
  next: number
  head: number
  history: string
}

export interface Changes {
  /**
   * At most `limit` tenants that changed after `after`, and no more than about 1 MB of them, the newest change's number, and
   * the number to go on from. `service`: with its last status of each.
   */
  list(after: number, limit: number, service?: string): Promise<Page>
  find(id: TenantId): Promise<Change | null>
}

export function createChanges(central: SqlClient): Changes {
  const columns = central`
    c.seq, t.id, t.version, t.name, t.domain, t.settings, t.lifecycle, t.incarnation, t.deleted_at as "deletedAt",
    t.purge_after as "purgeAfter", coalesce(t.lifecycle = 'deleted' and t.purge_after <= now(), false) as purgeable`

  async function read(after: number, limit: number, service: string | undefined): Promise<Change[]> {
    const status = service === undefined ? central`` : central`, s.status, s.revision`
    const ledger =
      service === undefined
        ? central``
        : central`left join tenant_services s on s.tenant_id = t.id and s.service = ${service}
            and coalesce(s.incarnation = t.incarnation, true)`
    const { rows } = await readPage(
      central,
      central<Raw[]>`
        select ${columns} ${status} from tenant_changes c join tenants t on t.id = c.tenant_id ${ledger}
        where c.seq > ${after} order by c.seq limit ${limit}`,
    )
    return rows.map(changeOf)
  }

  return {
    async list(after, limit, service) {
      // The head first: a commit between the two only makes the reader ask once more.
      const [newest] = await central<{ head: string }[]>`select coalesce(max(seq), 0) as head from tenant_changes`
      const history = await readHistory(central)
      const items = await read(after, limit, service)
      const next = items.at(-1)?.seq ?? after
      return { items, next, head: Math.max(Number(newest?.head), items.at(-1)?.seq ?? 0), history }
    },
    async find(id) {
      const [row] = await central<Raw[]>`
        select ${columns} from tenant_changes c join tenants t on t.id = c.tenant_id where t.id = ${id}`
      return row ? changeOf(row) : null
    },
  }
}
