// The faults of a tenant's database: their names, which of them the service repairs, what a person does about the others, and the
// comparison of one tenant's registry row with the catalogues. Pure.

import type { TenantId } from '../../../events/index.js'
import { tenantGroupName } from '../names.js'
import type { Lifecycle, Provisioned, ServiceName } from '../types.js'
import { markFits, parseMark } from './marks.js'

/** The faults of one tenant here. */
export type Finding =
  | 'database_missing'
  /** An interrupted DROP left it. */
  | 'database_invalid'
  /** Our role does not own it. */
  | 'database_foreign'
  | 'mark_missing'
  /** It names another tenant, service or certificate than the registry does. */
  | 'mark_wrong'
  /** It is of an earlier tenant of the same id. */
  | 'other_incarnation'
  /** It does not name the incarnation of its tenant yet. */
  | 'mark_incomplete'
  | 'open_to_public'
  | 'open_to_others'
  | 'closed_to_role'
  | 'role_missing'
  | 'role_closed'
  /** Superuser, or may create databases or roles, replicate, or pass row security. */
  | 'role_powerful'
  /** Not in its group, or in others too. */
  | 'role_group'
  | 'role_settings'
  /** Its verifier is of an older key. */
  | 'role_key'
  /** Its instance is unreachable, so the state of its database is unknown. */
  | 'instance_unreachable'
  /** Its instance answers and is a standby, which takes no writes. */
  | 'instance_standby'
  /** It is on an instance that is not configured in this process. */
  | 'instance_unknown'

/** The faults that `repairTenant` (repair.ts) cures. The rest needs a person: it may hide lost data or another's data. */
export const repairable: ReadonlySet<Finding> = new Set([
  'open_to_public',
  'open_to_others',
  'closed_to_role',
  'role_missing',
  'role_closed',
  'role_group',
  'role_settings',
  'role_key',
  'mark_incomplete',
])

/** What a person does about each fault that no repair cures. */
export const cures: Partial<Record<Finding, string>> = {
  database_missing: '`distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_invalid:
    'an interrupted DROP left it: `distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_foreign: 'not owned by the service’s role: inspect it, rename it, then `retry` the tenant',
  mark_missing: 'the service inspects it within a minute and marks it again if it is this tenant’s',
  other_incarnation:
    'made for an earlier tenant of this id: another customer’s is renamed or dropped by hand, then `retry` the tenant; the same customer’s: docs/troubleshooting.md, "another incarnation"',
  mark_wrong: 'it is another tenant’s or was replaced: inspect it, then `retry` the tenant',
  instance_unreachable: 'its instance cannot be asked: is it up, was `init` run with DB_INSTANCES?',
  instance_standby: 'its instance is a standby, which takes no writes: docs/failover.md',
  instance_unknown: 'name its instance in DB_INSTANCES',
}

/** A tenant's row of the registry, with what the catalogues of its instance have. */
export interface InspectedRow {
  readonly id: TenantId
  readonly instance: string
  readonly moving: 'copying' | 'frozen' | 'closing' | null
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  readonly schemaVersion: number | null
  readonly certificate: string | null
  readonly incarnation: string | null
  readonly roleKey: string | null
  readonly connections: number | null
  readonly ours: boolean | null
  readonly comment: string | null
  readonly toPublic: boolean
  readonly toOthers: boolean
  readonly toRole: boolean
  readonly login: boolean | null
  readonly powerful: boolean | null
  readonly groups: string[]
  readonly settings: boolean
}

export function findingsOf(row: InspectedRow, service: ServiceName, roleKey: string): Finding[] {
  const mark = parseMark(row.comment)
  const { id: tenant, certificate, incarnation } = row
  const other =
    mark?.tenant === tenant &&
    mark.service === service &&
    mark.incarnation !== undefined &&
    incarnation !== null &&
    mark.incarnation !== incarnation
  if (row.ours && other) return ['other_incarnation']
  // Before it was ready for the first time nothing is required; the provisioner is at work on it.
  if (certificate === null) return []
  if (row.connections === null) return ['database_missing']
  if (row.connections === -2) return ['database_invalid']
  if (!row.ours) return ['database_foreign']
  const wrong: [boolean, Finding][] = [
    [mark === null, 'mark_missing'],
    [mark !== null && !markFits(mark, { tenant, service, certificate, incarnation }), 'mark_wrong'],
    [incarnation !== null && mark !== null && mark.incarnation === undefined, 'mark_incomplete'],
    [row.toPublic, 'open_to_public'],
    [row.toOthers, 'open_to_others'],
  ]
  if (row.login === null) return [...presentFindings(wrong), 'role_missing']
  wrong.push(
    [!row.toRole, 'closed_to_role'],
    [!row.login, 'role_closed'],
    [row.powerful === true, 'role_powerful'],
    [row.groups.length !== 1 || row.groups[0] !== tenantGroupName(service), 'role_group'],
    [row.settings, 'role_settings'],
    [row.roleKey !== roleKey, 'role_key'],
  )
  return presentFindings(wrong)
}

const presentFindings = (wrong: [boolean, Finding][]): Finding[] =>
  wrong.flatMap(([is, finding]) => (is ? [finding] : []))
