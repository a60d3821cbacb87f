// The findings of the inventory as operators read them: each with its cure, and whether it is one that the service may cure
// itself without a risk to data. It reads the catalogues alone and changes nothing.
import { cures, type Finding, type OperatorAccess, repairable } from '../distributed-tenant/index.js'

export interface FleetFinding {
  readonly tenant: string | null
  readonly instance: string
  readonly what: string
  readonly cure: string
  /** The service can repair it: rights, role and verifier of one tenant, nothing of its data. */
  readonly fixable: boolean
}

const MOST = 500

export async function fleetFindings(access: OperatorAccess): Promise<{ items: FleetFinding[]; more: number }> {
  const { tenants, otherInstances, ...home } = await access.inspect()
  const found: FleetFinding[] = []
  const add = (tenant: string | null, instance: string, what: string, cure: string, fixable = false): void => {
    found.push({ tenant, instance, what, cure, fixable })
  }
  for (const { id, instance, moving, lifecycle, provisioned, schemaVersion, findings } of tenants) {
    if (provisioned === 'removed') continue
    if (moving !== null) add(id, instance, 'being moved', 'It takes no writes until the move is over: see Runs.')
    if (lifecycle === 'deleted') continue
    // A new tenant's mark is completed within a minute, by the service.
    for (const finding of findings.filter(one => one !== 'mark_incomplete'))
      add(id, instance, words(finding), cureOf(finding, access.service), repairable.has(finding))
    if (provisioned !== 'ready') add(id, instance, provisioned, 'Open the tenant for its last error, and retry it.')
    else if ((schemaVersion ?? 0) < access.schemaVersion)
      add(
        id,
        instance,
        'schema behind',
        `Version ${schemaVersion ?? 0} of ${access.schemaVersion}: \`distributed-tenant migrate --service ${access.service}\`.`,
      )
  }
  const [main] = access.instances
  for (const { instance, ...one } of [{ instance: main?.name ?? 'main', ...home }, ...otherInstances]) {
    for (const name of one.strayDatabases)
      add(null, instance, `stray database ${name}`, 'No tenant owns it: drop it by hand if it is not needed.')
    for (const name of one.strayRoles) add(null, instance, `stray role ${name}`, 'No tenant owns it: drop it by hand.')
    for (const name of one.openDatabases)
      add(
        null,
        instance,
        `${name} is open to PUBLIC`,
        `\`distributed-tenant init --service ${access.service}\` closes it.`,
      )
    if (one.unmanagedRoles.length > 0)
      add(
        null,
        instance,
        `${one.unmanagedRoles.length} roles without ADMIN OPTION`,
        `As after pg_upgrade: \`distributed-tenant init --service ${access.service}\`.`,
      )
  }
  return { items: found.slice(0, MOST), more: Math.max(0, found.length - MOST) }
}

const words = (finding: Finding): string => finding.replaceAll('_', ' ')

function cureOf(finding: Finding, service: string): string {
  if (repairable.has(finding)) return 'Repair gives the tenant its rights, role and verifier again.'
  return (cures[finding] ?? 'Inspect it by hand.').replaceAll('<name>', service)
}
