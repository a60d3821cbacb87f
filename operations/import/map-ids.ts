// The mapping of a shared server's ids to valid ones: ids that keep the rule stay as they are, the others need a mapping
// from the operator. Invariant: no id is changed silently, and no two become one.
import { isTenantId, type TenantId } from '../../events/index.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { reservedIds, slugOf } from '../../plugins/distributed-tenant/names.js'

export interface Mapping {
  /** Old id to new. */
  readonly ids: ReadonlyMap<string, TenantId>
  /** Old ids that cannot stay, each with a proposal that nothing else uses. */
  readonly proposals: ReadonlyMap<string, TenantId>
}

/** @throws TRANSFER_REFUSED for a mapping that names no tenant, breaks the rule, or makes two tenants one */
export function mapIds(old: readonly string[], given: ReadonlyMap<string, string>): Mapping {
  const known = new Set(old)
  const ids = new Map<string, TenantId>()
  const proposals = new Map<string, TenantId>()
  for (const [from, to] of given) {
    if (!known.has(from))
      throw new TransferRefused(`--map names ${from}, and the source has no such tenant: see --dry-run.`)
    if (!usable(to))
      throw new TransferRefused(
        `--map gives ${from} the id ${to}, which is malformed or reserved: use 1 to 40 of a-z, 0-9 and single inner hyphens.`,
      )
    ids.set(from, to)
  }
  for (const id of known) if (!given.has(id) && usable(id)) ids.set(id, id)
  const taken = new Map<TenantId, string>()
  for (const [from, to] of ids) {
    const other = taken.get(to)
    if (other !== undefined)
      throw new TransferRefused(`${other} and ${from} would both become ${to}: map one of them to another id.`)
    taken.set(to, from)
  }
  for (const id of known) if (!ids.has(id)) proposals.set(id, propose(id, taken))
  return { ids, proposals }
}

const usable = (id: string): id is TenantId => isTenantId(id) && !reservedIds.has(id)

const LONGEST = 40

function propose(id: string, taken: Map<TenantId, string>): TenantId {
  const first = slugOf(id, LONGEST - 4) || 'tenant'
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? first : `${first}-${number}`
    if (!usable(candidate) || taken.has(candidate)) continue
    taken.set(candidate, id)
    return candidate
  }
}
