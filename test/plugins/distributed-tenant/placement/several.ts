// A service with several instances for tests: `main` with its central database, `b` and perhaps more, all made by `init`'s own code.
import { bootstrap } from '../../../../operations/init/bootstrap.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'
import { type Rig, rig } from '../../../rig.js'

export interface Several extends Rig {
  /** The option `instances`: all but `main`, which is always there. */
  readonly instances: Record<string, { host: string; port: number }>
}

/**
 * @param bin where the programs of `b` are, when it is of another version than `main`; or those of each instance, `main` by the name
 * `employee`. @param names of the instances beside `main`
 */
export async function severalInstances(
  t: Parameters<typeof rig>[0],
  bin?: string | Record<string, string>,
  names: readonly string[] = ['b'],
): Promise<Several> {
  const made = await rig(t, ['employee', ...names], undefined, typeof bin === 'string' ? { b: bin } : bin)
  const instances: Record<string, { host: string; port: number }> = {}
  for (const name of names) {
    const server = made.servers.postgres[name]
    if (!server) throw new Error(`no instance ${name}`)
    const { host, port, user, password } = server
    await bootstrap({
      service: parseServiceName('employee'),
      database: { ...made.database('employee'), host, port },
      superuser: { user, password },
      onStep: () => {},
      instance: name,
    })
    instances[name] = { host, port }
  }
  return { ...made, instances }
}

export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    error => (error as { code?: unknown }).code,
  )
