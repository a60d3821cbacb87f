// Owns the first user of a tenant, who is said when the tenant is asked for and made once its database is there. Until
// then the address and the password's hash lie in the central database, written in the transaction that registered the
// tenant; no event carries them. Made at least once, and the second time changes nothing: whatever is killed, nobody is
// missing and nobody is made twice. While identity's own database for the tenant is not there, they wait.

import type { FastifyBaseLogger } from 'fastify'
import { every } from '../../events/timers.js'
import type { FirstUserStep, Notifications, Once, SqlClient, Tenants } from '../../plugins/distributed-tenant/index.js'
import { createCredentials } from './credentials.js'
import { LEDGER_CHANNEL } from './ledger.js'
import { UserExists } from './users.js'

export interface FirstUser {
  readonly email: string
  readonly displayName: string
  readonly passwordHash: string
}

export interface FirstUsers {
  /** For `tenants.create`: remembers whom to make in the transaction of the creation, unless `once` knows it was done. */
  within(user: FirstUser, once: Once | undefined): Once
  /** Makes the tenant's first user now if one waits and the tenant is ready here. Never rejects. */
  make(tenantId: string): Promise<void>
  close(): void
}

/** The backstop for a word that was missed. */
const LOOK_MS = 5_000

export function createFirstUsers(
  central: SqlClient,
  tenants: Tenants,
  notifications: Notifications,
  log: FastifyBaseLogger,
  report: (step: FirstUserStep, tenantId: string) => void,
): FirstUsers {
  const running = new Map<string, Promise<void>>()

  async function makeOne(tenantId: string): Promise<void> {
    const [waiting] = await central<FirstUser[]>`
      select email, display_name as "displayName", password_hash as "passwordHash"
      from first_users where tenant_id = ${tenantId}`
    if (!waiting) return
    report('due', tenantId)
    try {
      await tenants.run(tenantId, async ({ sql }) => {
        const { passwordHash, ...user } = waiting
        await createCredentials(sql).create({ ...user, role: 'admin' }, passwordHash)
      })
      report('made', tenantId)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'TENANT_PROVISIONING' || code === 'TENANT_SUSPENDED') return
      // Made before, or by somebody else; and a deleted tenant needs nobody.
      if (!(error instanceof UserExists) && code !== 'TENANT_NOT_FOUND') throw error
    }
    await central`delete from first_users where tenant_id = ${tenantId}`
    report('forgotten', tenantId)
  }

  function make(tenantId: string): Promise<void> {
    const under = running.get(tenantId)
    if (under) return under
    const work = makeOne(tenantId)
      .catch(error => log.warn({ err: error, tenant: tenantId }, 'the first user is not made yet; it is tried again'))
      .finally(() => running.delete(tenantId))
    running.set(tenantId, work)
    return work
  }

  async function look(): Promise<void> {
    try {
      const rows = await central<
        { id: string }[]
      >`select tenant_id as id from first_users order by created_at limit 100`
      for (const { id } of rows) await make(id)
    } catch (error) {
      log.debug({ err: error }, 'the first users cannot be read; waiting on')
    }
  }

  const unsubscribe = notifications.subscribe(LEDGER_CHANNEL, id => void make(id))
  const stop = every(LOOK_MS, look)

  return {
    within({ email, displayName, passwordHash }, once) {
      return async (sql, tenantId) => {
        const earlier = (await once?.(sql, tenantId)) ?? null
        // A tenant that turns out to be taken takes this row with it.
        if (earlier === null) {
          await sql`
            insert into first_users (tenant_id, email, display_name, password_hash)
            values (${tenantId}, ${email}, ${displayName}, ${passwordHash}) on conflict do nothing`
          report('remembered', tenantId)
        }
        return earlier
      }
    },
    make,
    close() {
      unsubscribe()
      stop()
    },
  }
}
