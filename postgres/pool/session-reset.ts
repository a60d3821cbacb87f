// The reset of a session between two leases. Invariant: a session that could not be reset in time is closed.
// If the server is down: the connection is lost, and the pool opens another.
import { guarded } from '../../timing/timers.js'
import type { Connection } from '../connections/connection.js'
import { connectionClosed } from '../connections/failures.js'

const RESET_DEADLINE_MS = 5_000

/**
 * Resets everything of a session but its prepared statements, in one round trip (docs/decisions/0011). Where a transaction may be
 * open, `rollback` stands in front: outside of one it is a warning in the server's log each time. The first statement fails in a
 * transaction of an earlier message, whose start is not this statement's, and then the connection is closed. A seed cannot be unset,
 * only be replaced by a random one.
 */
export const RESET =
  'select 1 / (now() = statement_timestamp())::int; reset session authorization; reset all; close all; unlisten *; select pg_advisory_unlock_all(); discard sequences; discard temp; ' +
  `select setseed(('x' || left(md5(gen_random_uuid()::text), 7))::bit(28)::int / 268435456.0)`

/** Sent before it returns: what is sent next comes behind it. Resolves when it is reset, or lost. */
export async function resetSession(connection: Connection): Promise<void> {
  const late = () => connection.destroy(connectionClosed('the reset took too long'))
  const timer = setTimeout(() => guarded(late), RESET_DEADLINE_MS)
  const text = connection.transacting ? `rollback; ${RESET}` : RESET
  connection.transacting = false
  try {
    await connection.run(text)
  } catch (error) {
    connection.destroy(error as Error)
  } finally {
    clearTimeout(timer)
  }
}
