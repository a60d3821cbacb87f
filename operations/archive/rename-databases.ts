// The renaming of databases that give their names to each other. Invariant: all of them have their new names, or none has; before, each
// is closed to new sessions, and its sessions are ended. They stay closed.
// If a session does not end: the server's own error is thrown, after a few attempts.

import { setTimeout as sleep } from 'node:timers/promises'
import type { SessionClient, TransactionClient } from '../../plugins/distributed-tenant/types.js'

/** From a name to another one, which is free by then. */
export type Renaming = readonly [from: string, to: string]

const IN_USE = '55006'
const ATTEMPTS = 5

/** @param along is done in the same transaction, behind it */
export async function renameDatabases(
  sql: SessionClient,
  renamings: readonly Renaming[],
  along?: (tx: TransactionClient) => Promise<void>,
): Promise<void> {
  for (const [from] of renamings) await sql`alter database ${sql(from)} allow_connections false`
  for (let attempt = 1; ; attempt++) {
    // Each time: a session that was starting when its database was closed shows only later.
    for (const [from] of renamings) await endSessions(sql, from)
    try {
      await sql.begin(async tx => {
        for (const [from, to] of renamings) await tx`alter database ${tx(from)} rename to ${tx(to)}`
        await along?.(tx)
      })
      return
    } catch (error) {
      if ((error as { code?: string }).code !== IN_USE || attempt === ATTEMPTS) throw error
      await sleep(200 * attempt)
    }
  }
}

async function endSessions(sql: SessionClient, name: string): Promise<void> {
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name} and pid <> pg_backend_pid()`
}
