// What a drain and a rebalance read before they plan: the tenants of each instance, their sizes, and how many transactions each
// runs a second. Reads only.
// If an instance is down: its sizes are null.

import { setTimeout as sleep } from 'node:timers/promises'
import { tenantDatabaseName } from '../../../plugins/distributed-tenant/names.js'
import type { QueryClient, TenantId } from '../../../plugins/distributed-tenant/types.js'
import { sentenceOf } from '../../outcome.js'
import type { MoveParts } from '../parts.js'

export interface SurveyedTenant {
  readonly id: TenantId
  readonly instance: string
  readonly bytes: number
  /** Why it cannot be moved, whichever way. */
  readonly unmovable: string | null
}

export interface SurveyedInstance {
  readonly name: string
  /** Of its tenants; null where it does not answer. */
  readonly bytes: number | null
  readonly error: string | null
}

export interface Survey {
  readonly tenants: readonly SurveyedTenant[]
  readonly instances: readonly SurveyedInstance[]
}

type Figures = ReadonlyMap<string, number>

/** Every tenant with a database, on every instance. */
export async function surveyInstances(parts: MoveParts): Promise<Survey> {
  const { service, central, instances } = parts
  const sizes = await eachInstance(parts, sizesOf(service))
  const rows = await central<{ id: TenantId; instance: string; provisioned: string; lifecycle: string }[]>`
    select id, instance, provisioned, lifecycle from tenants
    where provisioned <> 'removed' and (certificate is not null or attempts > 0) order by id`
  const tenants = rows.map(({ id, instance, provisioned, lifecycle }) => {
    const found = sizes.get(instance)
    const bytes = (found instanceof Map && found.get(tenantDatabaseName(id, service))) || 0
    const state = lifecycle === 'deleted' ? 'deleted' : provisioned
    return {
      id,
      instance,
      bytes,
      unmovable: state === 'ready' ? null : `is ${state}, and only what is ready can be moved`,
    }
  })
  return {
    tenants,
    instances: instances.map(({ name }) => {
      const found = sizes.get(name)
      return found instanceof Map
        ? { name, bytes: sum(found.values()), error: null }
        : { name, bytes: null, error: sentenceOf(found) }
    }),
  }
}

/** Transactions a second of each tenant, over so long a time. @throws TRANSFER_FAILED when an instance does not answer */
export async function surveyActivity(
  parts: MoveParts,
  tenants: readonly SurveyedTenant[],
  { seconds, signal }: { readonly seconds: number; readonly signal?: AbortSignal | undefined },
): Promise<Map<TenantId, number>> {
  const { service } = parts
  const before = await eachInstance(parts, transactionsOf(service))
  const began = performance.now()
  await sleep(seconds * 1_000, undefined, { signal })
  const after = await eachInstance(parts, transactionsOf(service))
  const elapsed = (performance.now() - began) / 1_000
  return new Map(
    tenants.map(({ id, instance }) => {
      const [first, second] = [before.get(instance), after.get(instance)]
      for (const one of [first, second]) if (one instanceof Error) throw one
      const name = tenantDatabaseName(id, service)
      const more = ((second as Figures | undefined)?.get(name) ?? 0) - ((first as Figures | undefined)?.get(name) ?? 0)
      return [id, Math.max(0, more) / elapsed] as const
    }),
  )
}

async function eachInstance(
  { instances, sessionAt }: MoveParts,
  ask: (sql: QueryClient) => Promise<Figures>,
): Promise<Map<string, Figures | Error>> {
  const found = await Promise.all(
    instances.map(async ({ name }) => [name, await sessionAt(name)(ask).catch((error: Error) => error)] as const),
  )
  return new Map(found)
}

const sizesOf = (service: string) => async (sql: QueryClient) => {
  const rows = await sql<{ name: string; value: number }[]>`
    select datname as name, pg_database_size(oid)::float8 as value from pg_database
    where datname like ${`tenant\\_%\\_${service}`} and datconnlimit <> -2`
  return new Map(rows.map(({ name, value }) => [name, value]))
}

const transactionsOf = (service: string) => async (sql: QueryClient) => {
  const rows = await sql<{ name: string; value: number }[]>`
    select datname as name, (xact_commit + xact_rollback)::float8 as value from pg_stat_database
    where datname like ${`tenant\\_%\\_${service}`}`
  return new Map(rows.map(({ name, value }) => [name, value]))
}

const sum = (values: Iterable<number>): number => [...values].reduce((all, one) => all + one, 0)
