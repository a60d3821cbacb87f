// The checks of tenants' databases, roles and rights, from the catalogues alone, and of databases without an owner.

import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { cures, type Finding, repairable } from '../../plugins/distributed-tenant/databases/findings.js'
import type { Strays } from '../../plugins/distributed-tenant/databases/inventory.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { ServiceName, TenantId } from '../../plugins/distributed-tenant/types.js'
import { lockNames, locksHeld } from '../../postgres/advisory-locks.js'
import { leftByRestores } from '../archive/leftovers.js'
import { parseRoute } from '../move/parts.js'
import type { OpenService } from '../open-services.js'
import { note, type Problem, problem } from './problem.js'
import { madeNow, runsUnderWay } from './under-way.js'

/** A finding as people read it. */
const wordsOf = (finding: Finding): string => finding.replaceAll('_', ' ')

export async function fleet(
  { name, target: { hasRoleKeys }, tenancy }: OpenService,
  lostKey: string | null = null,
): Promise<Problem[]> {
  const { tenants, otherInstances, ...home } = await tenancy.inspectFleet()
  const newest = tenancy.fleet.sets.at(-1)?.version ?? 0
  const { central } = tenancy.fleet
  const transfers = await unfinishedTransfers(tenancy)
  const making = await madeNow(central)
  const isMigrated = (await locksHeld(central, [lockNames.migrationRun])).size > 0
  const unknownKeys = hasRoleKeys ? await rolesOfUnknownKeys(tenancy) : new Map<TenantId, string>()
  const found: Problem[] = []
  for (const { id, instance, moving, lifecycle, provisioned, schemaVersion, findings } of tenants) {
    if (provisioned === 'removed') continue
    const before = found.length
    const living = lifecycle !== 'deleted'
    // Without the secret a verifier cannot be matched to its key.
    const open = findings.filter(
      // A new tenant's mark is completed within a minute, by the service. A standby is reported once, as an instance.
      finding =>
        (hasRoleKeys || finding !== 'role_key') && finding !== 'mark_incomplete' && finding !== 'instance_standby',
    )
    const key = unknownKeys.get(id)
    if (living && key !== undefined) found.push(keyUnknown(id, key, tenancy, lostKey))
    // Nothing of a role is repaired whose key is not known here.
    const mayFix = hasRoleKeys && key === undefined
    if (living) {
      for (const finding of open)
        if (finding !== 'role_key' || mayFix) found.push(findingOf(finding, id, tenancy, mayFix))
    }
    if (living && provisioned !== 'ready') {
      found.push(
        making.has(id)
          ? note('being made', id, `${name} makes its database by itself`)
          : problem(provisioned, id, `see \`show ${id}\`; \`retry ${id}\``),
      )
    }
    if (living && provisioned === 'ready' && (schemaVersion ?? 0) < newest) {
      const behind = `version ${schemaVersion ?? 0} of ${newest}`
      found.push(
        isMigrated
          ? note('schema behind', id, `${behind}: a migration of the tenants runs`)
          : problem('schema behind', id, `${behind}: \`migrate --service ${name}\``),
      )
    }
    if (moving !== null) {
      const transfer = transfers.find(one => one.kind === 'move' && one.id === id)
      const state = moving === 'copying' ? 'it is served, and no migration can be applied' : 'it takes no writes'
      found.push(
        transfer?.running
          ? note('being moved', id, `${state}; a process carries out run ${transfer.run}`)
          : problem('being moved', id, `${state}; if no move runs: ${wayOn(name, transfer)}`),
      )
    }
    for (let at = before; at < found.length; at++) found[at] = { ...(found[at] as Problem), instance }
  }
  for (const one of transfers.filter(({ kind }) => kind === 'import')) {
    const state = one.open
      ? 'its source takes writes, and keeps its log for slots of the run'
      : 'its source takes no writes'
    found.push(
      one.running
        ? note('being imported', one.id, `${state}; a process carries out run ${one.run}`)
        : problem('being imported', one.id, `${state}; if no import runs: ${wayOn(name, one)}`),
    )
  }
  for (const place of [{ instance: DEFAULT_INSTANCE, ...home }, ...otherInstances])
    found.push(...straysOf(name, place, found, transfers))
  return [...found, ...(await restores(tenancy))]
}

function straysOf(
  name: string,
  { instance, strayDatabases, strayRoles, openDatabases, unmanagedRoles }: Strays & { readonly instance: string },
  open: readonly Problem[],
  transfers: readonly Unfinished[],
): Problem[] {
  const found: Problem[] = []
  for (const database of strayDatabases) {
    const transfer = transfers.find(
      ({ to, id }) => to === instance && tenantDatabaseName(id, name as ServiceName) === database,
    )
    if (transfer?.kind === 'import' || transfer?.running) continue
    found.push(
      transfer
        ? problem('left by a move', database, `if it does not run: ${wayOn(name, transfer)}`)
        : problem('stray database', database, 'no tenant owns it: drop it by hand if it is not needed'),
    )
  }
  for (const role of strayRoles) found.push(problem('stray role', role, 'no tenant owns it: drop it by hand'))
  if (unmanagedRoles.length > 0)
    found.push(
      problem(
        'roles without ADMIN OPTION',
        `${unmanagedRoles[0]}${unmanagedRoles.length > 1 ? ` and ${unmanagedRoles.length - 1} more` : ''}`,
        `no tenant can be made or removed, as after pg_upgrade to 16 or later: \`distributed-tenant init --service ${name}\``,
      ),
    )
  // A tenant's own, or one that is astray, is reported once.
  const known = new Set(strayDatabases)
  for (const { what, about } of open)
    if (what === wordsOf('open_to_public')) known.add(tenantDatabaseName(about as TenantId, name as ServiceName))
  for (const database of openDatabases.filter(one => !known.has(one)))
    found.push(problem('open to PUBLIC', database, `\`distributed-tenant init --service ${name}\` closes it`))
  return found.map(one => ({ ...one, instance }))
}

interface Unfinished {
  readonly run: string
  readonly kind: 'import' | 'move'
  readonly id: TenantId
  /** The instance it leads to. */
  readonly to: string
  /** An import without a freeze, before its switch. */
  readonly open: boolean
  /** A process carries it out. */
  readonly running: boolean
}

/** Killed, running, or taken back but for what lies at the target. */
async function unfinishedTransfers({ transfer }: OpenService['tenancy']): Promise<Unfinished[]> {
  const rows = await transfer.central<(Omit<Unfinished, 'to' | 'running'> & { source: string })[]>`
    select transfer_id as run, kind, tenant_id as id, source, online is not null and frozen is null as open
    from transfer_tenants join transfers on transfers.id = transfer_id
    where kind in ('import', 'move') and step not in ('pending', 'ready', 'switched', 'following', 'dropped', 'undone', 'failed')
    order by started_at desc`
  const underWay = await runsUnderWay(
    transfer.central,
    rows.map(({ run }) => run),
  )
  return rows.map(({ source, ...one }) => ({
    ...one,
    running: underWay.has(one.run),
    to: one.kind === 'move' ? parseRoute(source).to : DEFAULT_INSTANCE,
  }))
}

function wayOn(service: string, transfer: Unfinished | undefined): string {
  if (!transfer) return `\`move --service ${service} --list\`, then --resume`
  const { run, kind } = transfer
  const command = kind === 'move' ? `move --service ${service}` : 'import-hybrid --from …'
  return `\`${command} --rollback ${run}\`, or --resume ${run}`
}

/** The databases that a restore makes beside a tenant's, and removes at its end. */
async function restores({ transfer, settings }: OpenService['tenancy']): Promise<Problem[]> {
  const left = await Promise.all(
    // An unreachable one is reported with its tenants.
    settings.instances.map(({ name }) => leftByRestores(transfer, name).catch(() => [])),
  )
  return left.flat().map(({ database, instance, remove }) => ({
    ...problem(
      database.startsWith('proof_') ? 'left by a backup or a plan' : 'left by a restore',
      database,
      remove
        ? 'the run that made it is over: doctor --fix drops it'
        : 'if none is running: run it again, which ends it',
      remove,
    ),
    instance,
  }))
}

/** The keys of roles, by tenant, that TENANT_ROLE_SECRET does not have. */
async function rolesOfUnknownKeys({ transfer, credentials }: OpenService['tenancy']): Promise<Map<TenantId, string>> {
  const rows = await transfer.central<{ id: TenantId; key: string }[]>`
    select id, role_key as key from tenants
    where role_key <> all(${[...credentials.keys]}::text[]) and lifecycle <> 'deleted' and moving is null`
  return new Map(rows.map(({ id, key }) => [id, key]))
}

function keyUnknown(id: TenantId, key: string, tenancy: OpenService['tenancy'], lostKey: string | null): Problem {
  const { fleet, provisioner } = tenancy
  // Provisioned without a key of its own, a role gets the current one.
  const replace = async (): Promise<void> => {
    await fleet.central`update tenants set role_key = null where id = ${id} and role_key = ${key}`
    await provisioner.provision(id)
  }
  return problem(
    'role key unknown',
    id,
    `its role was set by the key ${key}, which TENANT_ROLE_SECRET does not have: add that key behind the current one; if it is lost, \`doctor --fix --lost-key ${key}\``,
    key === lostKey ? replace : null,
  )
}

function findingOf(finding: Finding, id: TenantId, tenancy: OpenService['tenancy'], mayFix: boolean): Problem {
  if (!repairable.has(finding)) return problem(wordsOf(finding), id, cures[finding] ?? 'inspect it')
  return problem(wordsOf(finding), id, 'doctor --fix', mayFix ? () => tenancy.repairTenant(id) : null)
}
