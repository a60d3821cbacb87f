// The parts that exist once for each PostgreSQL instance of the service: a cloner with its template, and a breaker. An
// instance that is not configured has the home instance's breaker, and no cloner.

import { DEFAULT_INSTANCE } from '../config/instances.js'
import type { Settings } from '../config/settings.js'
import { inspectDatabase } from '../databases/databases.js'
import type { MigrationSet } from '../databases/migration-files.js'
import { type Cloner, createCloner, type Template } from '../databases/template.js'
import type { PublishStep } from '../diagnostics/channels.js'
import { type Breaker, createBreaker } from '../instances/breaker.js'
import { answers } from '../instances/instance-probe.js'
import type { ProvisionerOptions } from '../provisioning/provisioner.js'
import type { Pools } from './pools.js'

export interface Instances {
  /** The home instance is the first. */
  readonly names: readonly string[]
  readonly several: boolean
  readonly breaker: Breaker
  clonerOf(instance: string): Cloner
  breakerOf(instance: string): Breaker
  /** Whether each of the others has this template; one that does not answer counts as without it. */
  haveTemplate(template: Template): Promise<boolean>
  /** The part of provisioning for instances beyond home, null when there are none. */
  readonly otherInstances: ProvisionerOptions['otherInstances']
}

export function assembleInstances(
  { service, instances }: Settings,
  { pools, sets, publish }: { pools: Pools; sets: readonly MigrationSet[]; publish: PublishStep },
): Instances {
  const names = instances.map(({ name }) => name)
  const several = names.length > 1
  const cloners = new Map(
    names.map(name => {
      const withDirectConnection: Pools['withDirectConnection'] = (database, fn) =>
        pools.withDirectConnection(database, fn, name)
      return [name, createCloner({ service, sets, withDirectConnection })] as const
    }),
  )
  const breakers = new Map(
    names.map(name => [name, createBreaker(event => publish({ area: 'retry', event }))] as const),
  )
  const breaker = breakers.get(DEFAULT_INSTANCE) as Breaker
  const breakerOf = (instance: string): Breaker => breakers.get(instance) ?? breaker

  return {
    names,
    several,
    breaker,
    clonerOf: instance => cloners.get(instance) as Cloner,
    breakerOf,
    async haveTemplate({ name, mark }) {
      const found = names.slice(1).map(instance =>
        pools
          .readSessionOn(instance)(sql => inspectDatabase(sql, name))
          .catch(() => null),
      )
      return (await Promise.all(found)).every(one => one?.state === 'present' && one.comment === mark)
    },
    otherInstances: several
      ? {
          sessionAt: pools.sessionAt,
          candidates: () => names.filter(name => breakerOf(name).state().retryInMs === 0),
          answers: name => answers(pools.readSessionOn(name), breakerOf(name)),
        }
      : null,
  }
}
