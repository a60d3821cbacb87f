// The operator's actions, and events of the world, while a service is killed. Every action ends with a tenant of its
// id in all services: a tenant created after the fault shows that the fault is over.
import { type ServiceName, serviceNames } from '../../stack/names.js'
import { barePublish } from '../rig.js'
import { within } from '../until.js'
import type { FaultyStack } from './faulty-stack.js'
import { asSuperuser } from './instance-facts.js'
import type { Operator } from './operator.js'

export interface Action {
  readonly name: string
  /** Begins with a tenant that is ready everywhere, or with none. */
  readonly needs: 'tenant' | 'suspended tenant' | 'nothing'
  /** Its effects continue after its tenant is right: dead letters, spares. */
  readonly settles?: boolean
  /** The number of dead letters it leaves in every service. */
  readonly dead?: number
  /** `service` is the one that will be killed. */
  run(how: { id: string; operator: Operator; stack: FaultyStack; service: ServiceName }): Promise<void>
}

const REFUSED_MS = 5_000

/** The keeper finds databases that are on no offer, removes them and creates others. */
const takeSparesAway = (stack: FaultyStack, service: ServiceName) =>
  asSuperuser(stack, service, sql => sql`delete from spares`)

const isFailed = (stack: FaultyStack, service: ServiceName, id: string): Promise<boolean> =>
  asSuperuser(stack, service, async sql => {
    const rows = await sql`select 1 from tenants where id = ${id} and provisioned = 'failed'`
    return rows.length > 0
  })

export const actions: readonly Action[] = [
  { name: 'create', needs: 'nothing', run: ({ id, operator }) => operator.create(id) },
  {
    // Step by step, as when more are asked for at once than there are spares.
    name: 'create, no spare',
    needs: 'nothing',
    settles: true,
    async run({ id, operator, stack }) {
      for (const name of serviceNames) await takeSparesAway(stack, name)
      await operator.create(id)
    },
  },
  {
    // The instance refuses for a while, and the tenant is tried again by itself.
    name: 'create, refused',
    needs: 'nothing',
    async run({ id, operator, stack, service }) {
      await takeSparesAway(stack, service)
      await asSuperuser(stack, service, sql => sql`alter role ${sql(`${service}_service`)} nocreatedb`)
      try {
        await operator.create(id)
        // A service that died before it could fail does so after its next start.
        await within(REFUSED_MS, () => isFailed(stack, service, id))
      } finally {
        await asSuperuser(stack, service, sql => sql`alter role ${sql(`${service}_service`)} createdb`)
      }
    },
  },
  { name: 'rename', needs: 'tenant', run: ({ id, operator }) => operator.rename(id, `${id} renamed`) },
  { name: 'suspend', needs: 'tenant', run: ({ id, operator }) => operator.suspend(id) },
  { name: 'activate', needs: 'suspended tenant', run: ({ id, operator }) => operator.activate(id) },
  { name: 'delete', needs: 'tenant', run: ({ id, operator }) => operator.remove(id) },
  {
    name: 'poison event',
    needs: 'nothing',
    settles: true,
    dead: 1,
    async run({ id, operator, stack }) {
      const { nats } = stack.servers ?? {}
      if (nats) await barePublish(nats, 'tenant.created', 'no JSON at all')
      await operator.create(id)
    },
  },
  {
    name: 'restart',
    needs: 'nothing',
    async run({ id, operator, stack, service }) {
      const process = stack.services[service]
      await process.stop()
      // It may be killed before it is ready: the code that killed it starts it again.
      await process.start().catch(() => {})
      await operator.create(id)
    },
  },
  {
    name: 'NATS killed',
    needs: 'nothing',
    async run({ id, operator, stack }) {
      await stack.servers?.nats.kill()
      await stack.servers?.nats.restart()
      await operator.create(id)
    },
  },
]
