// The checks of a service's instances: a standby where a primary must be, marks that keep new tenants away, and settings that are in the
// way of moves. Of a service with one instance no such setting is named: none of its tenants can be moved.
// If an instance is down: it is reported with its tenants.

import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { isStandby } from '../../plugins/distributed-tenant/databases/inventory.js'
import { listFull } from '../../plugins/distributed-tenant/registry/full-instances.js'
import { settingsInTheWay } from '../move/online/server-settings.js'
import type { OpenService } from '../open-services.js'
import { note, type Problem, problem } from './problem.js'

const PAGE = 'docs/failover.md'

export async function instances(service: OpenService): Promise<Problem[]> {
  const { name, tenancy } = service
  const { central } = tenancy.fleet
  const names = tenancy.settings.instances.map(one => one.name)
  const full = await listFull(central)
  const found: Problem[] = await standbys(service)
  const counts = await central<{ instance: string; tenants: number }[]>`
    select instance, count(*)::int as tenants from tenants where provisioned <> 'removed'
      and (certificate is not null or attempts > 0) group by instance`
  for (const { name: instance, since, markedBy } of full) {
    const open = `\`instances open ${instance} --service ${name}\``
    if (!names.includes(instance)) {
      found.push(note('marked full', instance, `DB_INSTANCES does not name it: ${open} forgets the mark`))
      continue
    }
    const tenants = counts.find(one => one.instance === instance)?.tenants ?? 0
    const by = `by ${markedBy} on ${since.toISOString().slice(0, 10)}; ${tenants} tenants are there`
    const away = tenants > 0 ? `\`drain ${instance} --service ${name}\` moves them away, ` : ''
    found.push({ ...note('marked full', instance, `${by}: ${away}${open} lets new ones in`), instance })
  }
  if (names.every(instance => full.some(one => one.name === instance))) {
    const cure = `new tenants wait: \`instances open <name> --service ${name}\`, or one more in DB_INSTANCES`
    found.push(problem('all instances full', names.join(', '), cure))
  }
  if (names.length === 1) return found
  for (const instance of names) {
    const ask =
      instance === DEFAULT_INSTANCE
        ? settingsInTheWay(central)
        : tenancy.pools.readSessionOn(instance)(settingsInTheWay)
    const sentences = await ask.catch(() => [])
    for (const sentence of sentences) {
      found.push({
        ...note('moves refuse writers', instance, `tenants are moved with --frozen alone while it has ${sentence}`),
        instance,
      })
    }
  }
  return found
}

/** Those that answer, and take no writes. */
async function standbys({ tenancy }: OpenService): Promise<Problem[]> {
  const asked = tenancy.settings.instances.map(async ({ name, host, port }): Promise<Problem[]> => {
    const home = name === DEFAULT_INSTANCE
    const ask = home ? isStandby(tenancy.fleet.central) : tenancy.pools.readSessionOn(name)(isStandby)
    if (!(await ask.catch(() => false))) return []
    const cure = home
      ? `${host}:${port} takes no writes: name all its servers in DB_HOST, or a name that leads to the primary: ${PAGE}`
      : `${host}:${port} takes no writes: lead DB_INSTANCES to its primary: ${PAGE}`
    return [{ ...problem('instance is a standby', name, cure), instance: name }]
  })
  return (await Promise.all(asked)).flat()
}
