// Owns that one move or import runs at a time for each service: by a lock of a session, which goes with a process that is
// killed. The session lost while the work runs: the work is told to stop, and what became of it is what is told.
import { TransferFailed } from '../plugins/distributed-tenant/errors.js'
import type { OpenService } from './open-services.js'

/** @param work `lost` is aborted when somebody else may begin */
export async function alone(
  services: readonly OpenService[],
  work: (lost: AbortSignal) => Promise<void>,
): Promise<void> {
  const lost = new AbortController()
  let working: Promise<void> | undefined
  const begin = (): Promise<void> => {
    working = work(lost.signal)
    return working
  }
  try {
    await locked(services, begin)
  } catch (error) {
    if (!working) throw error
    lost.abort(new TransferFailed('the session that kept others out was lost'))
    await working
  }
}

async function locked([first, ...rest]: readonly OpenService[], work: () => Promise<void>): Promise<void> {
  if (!first) return work()
  await first.tenancy.transfer.session(async sql => {
    const [lock] = await sql<{ mine: boolean }[]>`
      select pg_try_advisory_lock(hashtextextended('distributed_tenant.transfer', 0)) as mine`
    if (!lock?.mine) throw new Error(`Another move or import is running on ${first.name}: wait for its end.`)
    try {
      await locked(rest, work)
    } finally {
      // Where the session is gone the lock is too.
      await sql`select pg_advisory_unlock(hashtextextended('distributed_tenant.transfer', 0))`.catch(() => {})
    }
  })
}
