// What the operator or the world does while a service is killed. Every action ends with a tenant of its id in all
// services: who is made after the trouble shows that the trouble is over.
import type { ServiceName } from '../../stack/names.js'
import { barePublish } from '../rig.js'
import type { FaultyStack } from './faulty-stack.js'
import type { Operator } from './operator.js'

export interface Action {
  readonly name: string
  /** Begins with a tenant that is ready everywhere, or with none. */
  readonly needs: 'tenant' | 'suspended tenant' | 'nothing'
  /** How many dead letters it leaves in every service. */
  readonly dead?: number
  /** `service` is the one that is to die. */
  run(how: { id: string; operator: Operator; stack: FaultyStack; service: ServiceName }): Promise<void>
}

export const actions: readonly Action[] = [
  { name: 'create', needs: 'nothing', run: ({ id, operator }) => operator.create(id) },
  { name: 'rename', needs: 'tenant', run: ({ id, operator }) => operator.rename(id, `${id} renamed`) },
  { name: 'suspend', needs: 'tenant', run: ({ id, operator }) => operator.suspend(id) },
  { name: 'activate', needs: 'suspended tenant', run: ({ id, operator }) => operator.activate(id) },
  { name: 'delete', needs: 'tenant', run: ({ id, operator }) => operator.remove(id) },
  {
    name: 'poison event',
    needs: 'nothing',
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
      // It may be told to die before it is ready: whoever killed it starts it again.
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
