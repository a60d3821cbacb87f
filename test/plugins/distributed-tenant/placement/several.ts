// Owns a service with two instances for tests: `main` with its central database, and `b`, both made by `init`'s own code.
import { bootstrap } from '../../../../operations/init/bootstrap.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'
import { type Rig, rig } from '../../../rig.js'

export interface Several extends Rig {
  /** The option `instances`: `b` alone, as `main` is always there. */
  readonly instances: Record<string, { host: string; port: number }>
}

/** @param bin where the programs of `b` are, when it is of another version than `main` */
export async function severalInstances(t: Parameters<typeof rig>[0], bin?: string): Promise<Several> {
  const made = await rig(t, ['employee', 'b'], undefined, bin === undefined ? undefined : { b: bin })
  const server = made.servers.postgres.b
  if (!server) throw new Error('no instance b')
  const { host, port, user, password } = server
  await bootstrap({
    service: parseServiceName('employee'),
    database: { ...made.database('employee'), host, port },
    superuser: { user, password },
    onStep: () => {},
    instance: 'b',
  })
  return { ...made, instances: { b: { host, port } } }
}

export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    error => (error as { code?: unknown }).code,
  )
