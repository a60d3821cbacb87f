// Changes where tenants are made (identity): the row, its raised version and its event are one transaction, so an accepted
// change is always published and a refused one never. Needs only the central database; NATS may be down.

import { randomBytes } from 'node:crypto'
import {
  encode,
  type LifecycleKind,
  lifecycleSubject,
  messageId,
  parseLifecycle,
  type TenantId,
} from '../../../events/index.js'
import type { SourceReport } from '../diagnostics/steps.js'
import { TenantDomainTaken, TenantIdTaken, TenantInvalid, TenantNotFound } from '../errors.js'
import { parseNewTenantId, parseTenantId, slugOf } from '../names.js'
import { writeOutbox } from '../registry/outbox.js'
import { changeTenant, findTenant, insertTenant, restoreTenant, type TenantState } from '../registry/tenants-table.js'
import type {
  Lifecycle,
  NewTenant,
  Once,
  QueryClient,
  RegistryRow,
  SqlClient,
  TenantPatch,
  TenantRestoration,
} from '../types.js'

export interface SourceOptions {
  readonly central: SqlClient
  /** Milliseconds a deleted tenant's databases are kept. */
  readonly retention: number
  readonly report: (event: SourceReport) => void
}

export interface Source {
  create(tenant: NewTenant, once?: Once): Promise<RegistryRow>
  update(id: string, patch: TenantPatch, actor?: string): Promise<RegistryRow>
  change(id: string, kind: 'suspended' | 'activated' | 'deleted', actor?: string): Promise<RegistryRow>
  /** A new version of the same content: every service that is not ready tries at once. @throws TENANT_NOT_FOUND */
  retry(id: string, actor?: string): Promise<RegistryRow>
  /** Undoes a deletion. @throws TENANT_NOT_FOUND unless it is deleted, TENANT_DOMAIN_TAKEN */
  restore(id: string, how: TenantRestoration, actor?: string): Promise<RegistryRow>
  /** Records a bare `tenant.created` as version 1; a known id is left as it is. @throws as `create` */
  record(request: Omit<TenantState, 'version'>): Promise<void>
}

const lifecycles: Record<'suspended' | 'activated' | 'deleted', Lifecycle> = {
  suspended: 'suspended',
  activated: 'active',
  deleted: 'deleted',
}

export function createSource({ central, retention, report }: SourceOptions): Source {
  async function insert(state: TenantState, actor: string | undefined, once?: Once): Promise<RegistryRow | null> {
    const row = await checkDomain(
      central.begin(async sql => {
        const earlier = (await once?.(sql, state.id)) ?? null
        if (earlier !== null) return findTenant(sql, earlier)
        await nameActor(sql, actor)
        const made = await insertTenant(sql, state)
        // Thrown, so that the rows written by `once` are rolled back too.
        if (!made && once) throw new TenantIdTaken()
        if (made) await publishChange(sql, 'created', made, actor)
        report({ type: 'written', kind: 'created', id: state.id })
        return made
      }),
    )
    report({ type: 'accepted', kind: 'created', id: state.id })
    return row
  }

  async function changeAndPublish(
    id: string,
    kind: LifecycleKind,
    change: Parameters<typeof changeTenant>[2],
    actor: string | undefined,
  ): Promise<RegistryRow> {
    const tenantId = parseTenantId(id)
    const row = await checkDomain(
      central.begin(async sql => {
        await nameActor(sql, actor)
        const changed = await changeTenant(sql, tenantId, change)
        if (!changed) return unchanged(sql, tenantId, change.lifecycle)
        await publishChange(sql, kind, changed, actor)
        report({ type: 'written', kind, id: tenantId })
        return changed
      }),
    )
    report({ type: 'accepted', kind, id: tenantId })
    return row
  }

  return {
    async create(tenant, once) {
      const id = tenant.id === undefined ? idFor(tenant.name) : parseNewTenantId(tenant.id)
      const { name, domain = null, settings = {}, lifecycle = 'active' } = tenant
      const { incarnation = newIncarnation() } = tenant
      const row = await insert({ id, version: 1, name, domain, settings, lifecycle, incarnation }, tenant.actor, once)
      if (!row) throw new TenantIdTaken()
      return row
    },
    update: (id, patch, actor) =>
      changeAndPublish(
        id,
        'updated',
        {
          ...(patch.name === undefined ? {} : { name: patch.name }),
          ...(patch.domain === undefined ? {} : { domain: patch.domain }),
          ...(patch.settings === undefined ? {} : { settings: patch.settings }),
        },
        actor,
      ),
    change: (id, kind, actor) =>
      changeAndPublish(id, kind, { lifecycle: lifecycles[kind], ...(kind === 'deleted' ? { retention } : {}) }, actor),
    retry: (id, actor) => changeAndPublish(id, 'updated', {}, actor),
    async restore(id, how, actor) {
      const tenantId = parseTenantId(id)
      const kind = how.lifecycle === 'active' ? 'activated' : 'suspended'
      const row = await checkDomain(
        central.begin(async sql => {
          await nameActor(sql, actor)
          const restored = await restoreTenant(sql, tenantId, how)
          if (!restored) throw new TenantNotFound()
          await publishChange(sql, kind, restored, actor)
          report({ type: 'written', kind, id: tenantId })
          return restored
        }),
      )
      report({ type: 'accepted', kind, id: tenantId })
      return row
    },
    async record(request) {
      parseNewTenantId(request.id)
      const row = await insert({ ...request, version: 1, incarnation: newIncarnation() }, undefined)
      if (row) return
      // A repeat of the request that made this tenant is fine; the id of a deleted tenant is never reused.
      const known = await findTenant(central, request.id)
      if (known?.lifecycle === 'deleted') throw new TenantIdTaken()
    },
  }
}

/** For the audit row that the trigger of the table writes; without a name it has the database's role. */
async function nameActor(sql: QueryClient, actor: string | undefined): Promise<void> {
  if (actor !== undefined) await sql`select set_config('fdt.actor', ${actor}, true)`
}

/** A tenant that has the wanted state already stays as it is, without a new version. */
async function unchanged(sql: QueryClient, id: TenantId, lifecycle: Lifecycle | undefined): Promise<RegistryRow> {
  const row = await findTenant(sql, id)
  if (!row || row.lifecycle === 'deleted' || row.lifecycle !== lifecycle) throw new TenantNotFound()
  return row
}

/**
 * The event has the whole state, so that one event is enough and order is only a matter of version. A value that the other
 * services would have to refuse is refused here, and the change with it.
 */
async function publishChange(
  sql: QueryClient,
  kind: LifecycleKind,
  row: RegistryRow,
  actor: string | undefined,
): Promise<void> {
  const payload = {
    id: row.id,
    version: row.version,
    name: row.name,
    domain: row.domain,
    is_active: row.lifecycle === 'active',
    settings: row.settings,
    ...(row.incarnation !== null && { incarnation: row.incarnation }),
    ...(actor === undefined ? {} : { actor }),
  }
  const subject = lifecycleSubject(kind)
  const parsed = parseLifecycle(subject, encode(payload))
  if (!parsed.ok) throw new TenantInvalid(parsed.reason)
  await writeOutbox(sql, { tenantId: row.id, subject, messageId: idOf(kind, row), payload })
}

/** Where this database was set back the same version comes twice, and the second is no repeat of the first in the stream. */
const idOf = (kind: LifecycleKind, { id, version }: RegistryRow): string =>
  messageId(kind, id, version, randomBytes(4).toString('hex'))

/** One unique index keeps two tenants from the same domain: identity's own migration makes it. */
async function checkDomain<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code, constraint_name: constraint } = error as { code?: string; constraint_name?: string }
    if (code === '23505' && constraint?.includes('domain')) throw new TenantDomainTaken()
    throw error
  }
}

const newIncarnation = (): string => randomBytes(16).toString('hex')

/** `Acme Corporation` gives `acme-corporation-4f9a2c`: readable, and a second Acme is no conflict. */
export function idFor(name: string): TenantId {
  return parseNewTenantId(`${slugOf(name, 33) || 'tenant'}-${randomBytes(3).toString('hex')}`)
}
