// The restore of a tenant from an archive in all its services at once. Every database is made and compared beside the present
// ones; then, under the lock that keeps provisioner and purger away, it takes the tenant's name, and one transaction of
// identity makes it valid: the deleted tenant is not deleted any more, or a new one exists. Before that a failure, or the next
// run after a kill, undoes everything; after it the services go on by themselves. For a live tenant the swap of
// each service is final by itself. If identity does not answer: nothing is concluded, and the next run asks again.

import { setTimeout as sleep } from 'node:timers/promises'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { applyFeedTenants } from '../../plugins/distributed-tenant/registry/identity-state.js'
import { findTenant, type TenantState } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { JsonObject } from '../../plugins/distributed-tenant/types.js'
import { ifUnlocked, lockNames } from '../../postgres/advisory-locks.js'
import { planRecovery, type RecoveryOptions, type RecoveryPlan } from './restore-plan.js'
import type { ServiceRestore } from './restore-service.js'

/** @throws TRANSFER_REFUSED, TRANSFER_FAILED; the state before is back then, unless the message says otherwise */
export async function recover(options: RecoveryOptions): Promise<RecoveryPlan> {
  const [first] = options.services
  if (!first) throw new TransferRefused('No service is named: nothing was done.')
  return first.parts.session(sql =>
    ifUnlocked(
      sql,
      lockNames.restore(options.id),
      () => recoverAlone(options),
      () => {
        throw new TransferRefused(`Another restore of ${options.id} is running: wait for its end.`)
      },
    ),
  )
}

async function recoverAlone(options: RecoveryOptions): Promise<RecoveryPlan> {
  const { id, services, archive, authority, onBytes, onSettled, signal } = options
  const known = await authority.find(id)
  const live = known !== null && known.lifecycle !== 'deleted'
  const left: string[] = []
  await together(services, async () => {
    for (const { restore } of services) left.push(...(await restore.settle(live)))
  })
  if (left.length > 0) onSettled?.(left)
  if (live && !options.replace && !options.as && (await wasOver(services, left))) return { case: 'finished', known }
  const plan = await planRecovery(options)
  await orSweep(services, async () => {
    for (const { restore } of services) {
      signal?.throwIfAborted()
      await restore.build(() => archive.part(restore.part, onBytes))
    }
    signal?.throwIfAborted()
  })
  await together(services, async () => {
    await orSweep(services, () => refuseIfChanged(plan, options))
    await replace(plan, options)
  })
  await ready(options)
  for (const { parts, restore } of services) {
    await restore.sweep()
    parts.report({ type: 'finished', id })
  }
  return plan
}

/** All databases have their names already: only the replaced ones are left over, and each service has its database. */
async function wasOver(services: RecoveryOptions['services'], left: readonly string[]): Promise<boolean> {
  if (left.length === 0 || left.some(name => name.startsWith('copy_'))) return false
  const looks = await Promise.all(services.map(({ restore }) => restore.look()))
  return looks.every(({ database }) => database)
}

/** No database has its name yet: those made beside are dropped. */
async function orSweep(services: RecoveryOptions['services'], work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    return putBack(services, error, restore => restore.sweep())
  }
}

/** It may have taken hours, and the tenant may have changed meanwhile. */
async function refuseIfChanged(plan: RecoveryPlan, options: RecoveryOptions): Promise<void> {
  const now = await planRecovery(options)
  if (now.case === plan.case) return
  throw new TransferRefused(
    `${options.id} has changed while it was restored (${plan.case}, now ${now.case}): nothing was put in its place.`,
  )
}

/** A matter of moments: completed, or undone. */
async function replace(plan: RecoveryPlan, options: RecoveryOptions): Promise<void> {
  const { id, services } = options
  const final = plan.case === 'missing' || plan.case === 'replace'
  let state: TenantState | null
  try {
    for (const { restore } of services) await restore.swap(final)
    state = final ? null : await commit(plan, options)
  } catch (error) {
    if (error instanceof Undecided) throw error
    return putBack(services, error, restore => restore.undo())
  }
  for (const { parts } of services) parts.report({ type: 'committed', id })
  if (state) await sendState(options, state)
}

/** Each service, also when another cannot be put back. @throws the error, with those that could not */
async function putBack(
  services: RecoveryOptions['services'],
  error: unknown,
  how: (restore: ServiceRestore) => Promise<void>,
): Promise<never> {
  const failed: string[] = []
  for (const { restore } of services) {
    await how(restore).catch((second: Error) => {
      failed.push(`${restore.service} could not be put back (${second.message})`)
    })
  }
  if (failed.length === 0) throw error
  throw new TransferFailed(
    `${(error as Error).message} And ${failed.join(', ')}: run the restore again, which begins with that.`,
  )
}

/** Each within the lock of the one before. */
async function together(services: RecoveryOptions['services'], fn: () => Promise<void>): Promise<void> {
  const [first, ...rest] = services
  return first ? first.restore.locked(() => together(rest, fn)) : fn()
}

/** Identity's transaction may have committed: nothing may be undone. */
class Undecided extends TransferFailed {}

/** @returns identity's answer */
async function commit(plan: RecoveryPlan, options: RecoveryOptions): Promise<TenantState> {
  const { id, archive, authority, withoutDomain, name } = options
  const { tenant } = archive.manifest
  if (!tenant) throw new TransferRefused('The archive holds no tenant.')
  const lifecycle = tenant.lifecycle === 'suspended' ? 'suspended' : 'active'
  const settings = tenant.settings as JsonObject
  const domain = withoutDomain || options.as ? null : tenant.domain
  try {
    if (plan.case === 'deleted')
      return await authority.restore(id, { lifecycle, ...(withoutDomain && { domain: null }) })
    const made = await authority.create({ id, name: name ?? tenant.name, domain, settings })
    return lifecycle === 'suspended' ? await authority.suspend(id) : made
  } catch (error) {
    if (authority.refused(error)) throw error
    const state = await authority.find(id).catch(() => undefined)
    if (state && state.lifecycle !== 'deleted') return state
    if (state !== undefined) throw error
    throw new Undecided(
      `Identity does not answer, and it is unknown whether it has taken ${id} (${(error as Error).message}): run the restore again when it does.`,
    )
  }
}

/** Spares the wait for the feed, which a service that misses this one falls back to. */
async function sendState({ services, absent }: RecoveryOptions, state: TenantState): Promise<void> {
  // Its incarnation is not in the answer of the API: the services learn that from the feed.
  const { id, version, name, domain, settings, lifecycle } = state
  const tenant = {
    id,
    version,
    name,
    domain,
    settings,
    lifecycle,
    seq: 0,
    deletedAt: null,
    purgeAfter: null,
    purgeable: false,
  }
  const all = [...services.map(({ parts }) => parts), ...absent]
  await Promise.all(all.map(({ central }) => applyFeedTenants(central, [tenant]).catch(() => {})))
}

const READY_MS = 90_000
const POLL_MS = 100

async function ready({ id, services }: RecoveryOptions): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (const { parts, restore } of services) {
    for (;;) {
      const row = await findTenant(parts.central, id)
      if (row?.provisioned === 'ready' && row.lifecycle !== 'deleted') break
      if (performance.now() > deadline) {
        throw new TransferFailed(
          `${id} is restored, and ${restore.service} has not provisioned it within ${READY_MS / 1000} s (${row?.lastError ?? 'it has not tried yet'}): start the service, which does; then \`distributed-tenant verify ${id}\`.`,
        )
      }
      await sleep(POLL_MS)
    }
  }
}
