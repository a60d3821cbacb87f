// The choice of the instance for a new tenant: the one with the fewest tenants, once and for all. Counted in the registry:
// tenants whose database was begun there and not dropped yet, whatever their lifecycle. Of equal ones the first as configured,
// and none that is marked full, has an open breaker or does not answer. A tenant whose database exists already stays at home. The
// caller holds the tenant's lock.
// If every instance is marked full or does not answer: home, unless that is marked full too; then the tenant waits.

import { DEFAULT_INSTANCE } from '../config/instances.js'
import { inspectDatabase } from '../databases/databases.js'
import { InstancesFull } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import { listFull } from '../registry/full-instances.js'
import type { QueryClient, RegistryRow, ServiceName, SessionClient } from '../types.js'

/** Tenants by instance; instances without one are missing. */
export async function fullness(sql: QueryClient): Promise<Map<string, number>> {
  const rows = await sql<{ instance: string; tenants: number }[]>`
    select instance, count(*)::int as tenants from tenants
    where provisioned <> 'removed' and (certificate is not null or attempts > 0) group by instance`
  return new Map(rows.map(({ instance, tenants }) => [instance, tenants]))
}

/** The least full of the candidates, the first of equal ones; home when there is none. */
export function leastFull(candidates: readonly string[], counts: ReadonlyMap<string, number>): string {
  let chosen = candidates[0] ?? DEFAULT_INSTANCE
  for (const one of candidates) if ((counts.get(one) ?? 0) < (counts.get(chosen) ?? 0)) chosen = one
  return chosen
}

export interface ChooseOptions {
  readonly service: ServiceName
  /** The instances that take new tenants now. */
  readonly candidates: () => readonly string[]
  /** Whether another instance answers, within a moment. Never rejects. */
  readonly answers: (instance: string) => Promise<boolean>
}

/** Whether no database was begun for it yet, on any instance. */
export const isUnplaced = (row: RegistryRow): boolean =>
  row.attempts === 0 && row.certificate === null && row.provisioned === 'pending' && row.instance === DEFAULT_INSTANCE

/**
 * Chooses the instance of a tenant without a database and records it; any other stays where it is.
 * @throws INSTANCES_FULL
 */
export async function settlePlace(
  sql: SessionClient,
  row: RegistryRow,
  { service, candidates, answers }: ChooseOptions,
): Promise<string> {
  if (!isUnplaced(row)) return row.instance
  const found = await inspectDatabase(sql, tenantDatabaseName(row.id, service))
  if (found.state !== 'absent') return DEFAULT_INSTANCE
  const counts = await fullness(sql)
  const full = new Set((await listFull(sql)).map(({ name }) => name))
  let left = candidates().filter(name => !full.has(name))
  const choose = (): string => {
    if (left.length === 0 && full.has(DEFAULT_INSTANCE)) throw new InstancesFull([...full].join(', '))
    return leastFull(left, counts)
  }
  let chosen = choose()
  while (chosen !== DEFAULT_INSTANCE && !(await answers(chosen))) {
    left = left.filter(one => one !== chosen)
    chosen = choose()
  }
  if (chosen !== DEFAULT_INSTANCE) await sql`update tenants set instance = ${chosen} where id = ${row.id}`
  return chosen
}
