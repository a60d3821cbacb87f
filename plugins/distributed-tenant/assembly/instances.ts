// The access to each PostgreSQL instance of the service: sessions, visits, a cloner with its template, and a breaker. Here
// alone the home instance differs from the others: its sessions are the central database's. An instance that is not
// configured has the home instance's breaker, and no access.

import type { MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { DEFAULT_INSTANCE } from '../config/instances.js'
import type { Settings } from '../config/settings.js'
import type { InstanceAccess, InstancesAccess } from '../databases/instance-access.js'
import { createCloner } from '../databases/template.js'
import type { PublishStep } from '../diagnostics/channels.js'
import { TenantDatabaseUnavailable } from '../errors.js'
import { type Breaker, createBreaker } from '../instances/breaker.js'
import { settlePlace } from '../instances/choose-instance.js'
import { answers } from '../instances/instance-probe.js'
import type { Pools } from './pools.js'

export interface Instances extends InstancesAccess {
  readonly breaker: Breaker
  breakerOf(instance: string): Breaker
  /** Makes the template of an instance where it is missing. */
  ensureTemplate(instance: string): Promise<string>
}

export function assembleInstances(
  { service, instances }: Settings,
  { pools, sets, publish }: { pools: Pools; sets: readonly MigrationSet[]; publish: PublishStep },
): Instances {
  const made = instances.map(({ name }) => {
    const isHome = name === DEFAULT_INSTANCE
    const session = pools.sessionAt(name)
    const visit: InstanceAccess['visit'] = (database, fn) => pools.withDirectConnection(database, fn, name)
    const cloner = createCloner({ service, sets, visit })
    const access: InstanceAccess = {
      name,
      session,
      look: pools.readSessionOn(name),
      visit,
      clone: cloner.clone,
      beside: (central, fn) => (isHome ? fn(central) : session(fn)),
      transactionBeside: (central, fn) =>
        isHome ? fn(central) : (session(sql => sql.begin(fn)) as ReturnType<typeof fn>),
    }
    const breaker = createBreaker(event => publish({ area: 'retry', event }))
    return { access, breaker, ensureTemplate: () => session(cloner.ensure) }
  })
  const byName = new Map(made.map(one => [one.access.name, one]))
  const home = byName.get(DEFAULT_INSTANCE) as (typeof made)[number]
  const at = (instance: string) => {
    const one = byName.get(instance)
    if (!one) throw new TenantDatabaseUnavailable()
    return one
  }
  const all = made.map(({ access }) => access)
  const several = all.length > 1
  const breakerOf = (instance: string): Breaker => byName.get(instance)?.breaker ?? home.breaker
  const choice = {
    service,
    candidates: () => all.map(({ name }) => name).filter(name => breakerOf(name).state().retryInMs === 0),
    answers: (name: string) => answers(at(name).access.look, breakerOf(name)),
  }

  return {
    home: home.access,
    all,
    several,
    at: instance => at(instance).access,
    // With one instance, a tenant of another is not made here too: it would exist twice.
    settle: async (sql, row) => (several ? settlePlace(sql, row, choice) : at(row.instance).access.name),
    breaker: home.breaker,
    breakerOf,
    ensureTemplate: async instance => at(instance).ensureTemplate(),
  }
}
