// Runs one move or import at a time for each service, under an advisory lock of a session; and a run whose process is visible.
// Invariant: PostgreSQL frees the lock when the process dies.
// If the session is lost while the work runs: the work is aborted, and its own outcome is the one reported.

import { TransferFailed, TransferRefused } from '../plugins/distributed-tenant/errors.js'
import { ifUnlocked, lockNames } from '../postgres/advisory-locks.js'
import type { SessionClient } from '../postgres/types.js'
import type { OpenService } from './open-services.js'

type OneOf = Pick<OpenService, 'name' | 'tenancy'>

/** @param work `lost` is aborted when another process may begin; `session` is the one that keeps others out, of the last service */
export async function alone(
  services: readonly OneOf[],
  work: (lost: AbortSignal, session: SessionClient) => Promise<void>,
): Promise<void> {
  const lost = new AbortController()
  let working: Promise<void> | undefined
  const begin = (session: SessionClient): Promise<void> => {
    working = work(lost.signal, session)
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

async function locked(
  [first, ...rest]: readonly OneOf[],
  work: (session: SessionClient) => Promise<void>,
): Promise<void> {
  if (!first) throw new Error('No service is named.')
  await first.tenancy.transfer.session(sql =>
    ifUnlocked(
      sql,
      lockNames.transfer,
      () => (rest.length > 0 ? locked(rest, work) : work(sql)),
      () => {
        throw new TransferRefused(`Another move or import is running on ${first.name}: wait for its end.`)
      },
    ),
  )
}

/** Runs the work of a run that stands in the journal of each service. */
export const carriedByAll = <T>(
  [first, ...rest]: readonly OpenService[],
  run: string,
  work: () => Promise<T>,
): Promise<T> => (first ? first.tenancy.carryOut(run, () => carriedByAll(rest, run, work)) : work())
