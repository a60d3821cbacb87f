// The first user of a tenant, named when the tenant is created and made once its database is there. Until then the address
// and the password's hash are in the central database, written in the transaction that registered the tenant; no event
// carries them. Invariant: made at least once, and a second time changes nothing: after any kill no user is missing or made
// twice. While identity's own database for the tenant is missing, they wait.

import type { FastifyBaseLogger } from 'fastify'
import type { FirstUserStep, Notifications, Once, SqlClient, Tenants } from '../../plugins/distributed-tenant/index.js'
import { every } from '../../timing/timers.js'
import { createCredentials } from './credentials.js'
import { LEDGER_CHANNEL } from './ledger.js'
import { UserExists } from './users.js'

export interface FirstUser {
  readonly email: string
  readonly displayName: string
  readonly passwordHash: string
}

export interface FirstUsers {
  /** For `tenants.create`: stores the user in the transaction of the creation, unless `once` finds it done. */
  within(user: FirstUser, once: Once | undefined): Once
  /** Makes the tenant's first user now if one waits and the tenant is ready here. Never rejects. */
  make(tenantId: string): Promise<void>
  close(): void
}

/** Catches up after a missed notification. */
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
      // Made before, or by another process; and a deleted tenant needs no user.
      if (!(error instanceof UserExists) && code !== 'TENANT_NOT_FOUND') throw error
    }
    await central`delete from first_users where tenant_id = ${tenantId}`
    report('forgotten', tenantId)
  }

  function make(tenantId: string): Promise<void> {
    const under = running.get(tenantId)
    if (under) return under
    const work = makeOne(tenantId)
      .catch(error => log.warn({ err: error, tenant: tenantId }, 'the first user could not be made yet; retrying'))
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
      log.debug({ err: error }, 'the waiting first users cannot be read; retrying')
    }
  }

  const unsubscribe = notifications.subscribe(LEDGER_CHANNEL, id => void make(id))
  const stop = every(LOOK_MS, look)

  return {
    within({ email, displayName, passwordHash }, once) {
      return async (sql, tenantId) => {
        const earlier = (await once?.(sql, tenantId)) ?? null
        // A creation that fails because the tenant exists takes this row with it.
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
