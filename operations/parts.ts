// The parts that an operator's work needs of one service's tenancy: for migrations of all tenants, for transfers of their data,
// for moves between instances. Built from what the tenancy gives, so that a running service loads nothing of `operations/`.

import type { FleetParts } from '../plugins/distributed-tenant/migration-runs/migrate.js'
import { createPurger } from '../plugins/distributed-tenant/provisioning/purge.js'
import type { Tenancy } from '../plugins/distributed-tenant/tenancy.js'
import { type CarryOut, withRunLock } from '../postgres/advisory-locks.js'
import type { TransferParts } from './copying/parts.js'
import { haveTemplate, isUpToDate } from './migrate/up-to-date.js'
import type { MoveParts } from './move/parts.js'
import { namingInstances } from './move/reach-instance.js'

export interface OperatorTenancy extends Tenancy {
  /** For migrations of all tenants. */
  readonly fleet: FleetParts
  /** For transfers of tenants' data. */
  readonly transfer: TransferParts
  /** For moves of tenants between instances. */
  readonly move: MoveParts
  /** For a run of any journal. */
  readonly carryOut: CarryOut
  /** Whether the central database, the templates and every tenant are at this release: one query. */
  isUpToDate(): Promise<boolean>
}

export function withOperations(tenancy: Tenancy): OperatorTenancy {
  const { settings, pools, instances, schemas, credentials, publish } = tenancy
  const { service, database } = settings
  const central = pools.central.sql
  // It asks identity for no confirmation: the data of an import is still at its origin.
  const remover = createPurger({
    service,
    instances,
    confirm: async () => true,
    report: event => publish({ area: 'purge', event }),
  })
  // Not one of the few sessions for provisioning, which moves side by side need.
  const carryOut: CarryOut = async (run, work) => {
    let working: ReturnType<typeof work> | undefined
    try {
      return await pools.central.session(sql => withRunLock(sql, run, () => (working = work())))
    } catch (error) {
      // The session may be lost while the work goes on: its own outcome is the one to report.
      if (!working) throw error
      return working
    }
  }
  const transfer: TransferParts = {
    service,
    central,
    database,
    session: pools.provisioning.session,
    withDirectConnection: pools.withDirectConnection,
    placeAt: instance => ({
      database: { ...database, ...pools.addressOf(instance) },
      session: pools.sessionAt(instance),
      withDirectConnection: (name, fn) => pools.withDirectConnection(name, fn, instance),
    }),
    sets: schemas.tenant,
    removeNow: remover.purge,
    report: event => publish({ area: 'transfer', event }),
  }
  return {
    ...tenancy,
    fleet: { service, central, withDirectConnection: pools.withDirectConnection, sets: schemas.tenant, carryOut },
    carryOut,
    transfer,
    move: namingInstances({
      ...transfer,
      withDirectConnection: pools.withDirectConnection,
      instances: settings.instances,
      sessionAt: pools.sessionAt,
      credentials,
    }),
    async isUpToDate() {
      const { central: centralSets, template } = schemas
      if (!(await isUpToDate({ service, central, centralSets, template }))) return false
      return haveTemplate(instances.all.slice(1), template)
    },
  }
}
