// The plan of a tenant's restore: the state of the tenant in identity and in each service, the case that this makes, and all
// obstacles at once. Invariant: it changes nothing. If identity does not answer: the plan fails.
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant, type TenantState } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { JsonObject, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferParts } from '../copying/parts.js'
import type { Archive } from './archive-reader.js'
import type { ServiceRestore } from './restore-service.js'

/** Identity, by its API. */
export interface Authority {
  /** Null when it has no such tenant. */
  find(id: TenantId): Promise<TenantState | null>
  /** Takes a deletion back. */
  restore(
    id: TenantId,
    how: { readonly lifecycle: 'active' | 'suspended'; readonly domain?: null },
  ): Promise<TenantState>
  create(tenant: {
    readonly id: TenantId
    readonly name: string
    readonly domain: string | null
    readonly settings: JsonObject
  }): Promise<TenantState>
  suspend(id: TenantId): Promise<TenantState>
  /** Whether it was an answer of identity's own, and not one that got lost. */
  refused(error: unknown): boolean
}

/** The present state of the tenant that is to be restored. */
export type Case =
  /** Identity does not know the id. */
  | 'new'
  | 'deleted'
  /** It is live, and the databases to be restored are missing. */
  | 'missing'
  /** It is live and suspended, and its databases are to be replaced. */
  | 'replace'
  /** It is live already, by a run that was killed before its cleanup: only that is left to do. */
  | 'finished'

export interface RecoveryOptions {
  readonly id: TenantId
  readonly archive: Archive
  readonly services: readonly { readonly parts: TransferParts; readonly restore: ServiceRestore }[]
  /** Services that the archive has nothing of. */
  readonly absent: readonly TransferParts[]
  readonly authority: Authority
  /** Under another id than the archive's. */
  readonly as: boolean
  readonly replace: boolean
  /** Only some of the services were named. */
  readonly partial: boolean
  readonly withoutDomain: boolean
  readonly name?: string | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
  /** Leftovers of a killed run that were removed, by name. */
  readonly onSettled?: ((left: readonly string[]) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface RecoveryPlan {
  readonly case: Case
  readonly known: TenantState | null
}

/**
 * The plan; nothing is changed.
 * @throws TRANSFER_REFUSED with all obstacles
 */
export async function planRecovery(options: RecoveryOptions): Promise<RecoveryPlan> {
  const { id, services, absent, authority, as, replace, partial } = options
  const known = await authority.find(id)
  const wrong: string[] = []
  for (const { restore } of services) {
    for (const obstacle of await restore.obstacles()) wrong.push(`${restore.service}: ${obstacle}`)
  }
  const looks = await Promise.all(services.map(({ restore }) => restore.look()))
  let found: Case
  if (!known) found = 'new'
  else if (known.lifecycle === 'deleted') found = 'deleted'
  else found = looks.some(({ database }) => database) ? 'replace' : 'missing'
  if (as && known) wrong.push(`${id} is taken, or was once: ids are never used again; choose another one for --as`)
  else if (found === 'replace') {
    const held = services.filter((_, at) => looks[at]?.database).map(({ restore }) => restore.service)
    if (!replace)
      wrong.push(`${id} is ${known?.lifecycle} and has data in ${held.join(', ')}: pass --replace to replace it`)
    else if (known?.lifecycle !== 'suspended') {
      wrong.push(`${id} is active: \`distributed-tenant suspend ${id}\` first, so that it is not used half restored`)
    }
  }
  if (found === 'new' || found === 'deleted') {
    if (partial) wrong.push(`${id} is ${found}, so all its services are restored at once: leave --service out`)
    for (const [at, { row }] of looks.entries()) {
      if (found === 'new' && row) {
        const { service } = (services[at] as (typeof services)[number]).restore
        wrong.push(`${service} has a row of ${id}, and identity does not know it: see \`distributed-tenant doctor\``)
      }
    }
    for (const { service, central } of found === 'deleted' ? absent : []) {
      const row = await findTenant(central, id)
      if (row?.provisioned !== 'removed') continue
      wrong.push(
        `the archive has nothing of ${service}, where the database of ${id} was dropped: take an archive that has`,
      )
    }
  }
  if (wrong.length > 0) throw new TransferRefused(`${wrong.join('. ')}. Nothing was changed.`)
  return { case: found, known }
}
