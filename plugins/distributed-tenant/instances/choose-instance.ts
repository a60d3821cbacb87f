// Owns where a new tenant goes: to the least full instance, once and for all. Full is counted by the registry: tenants whose
// database was begun there and not dropped yet, whatever their lifecycle. Of equal ones the first as configured, and none
// that is spared now or does not answer. A database that is there already keeps its tenant at home. The caller holds the tenant's lock.

import { DEFAULT_INSTANCE } from '../config/instances.js'
import { inspectDatabase } from '../databases/databases.js'
import { tenantDatabaseName } from '../names.js'
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
  /** Those that take new tenants now. */
  readonly candidates: () => readonly string[]
  /** Whether another instance answers, within a moment. Never rejects. */
  readonly answers: (instance: string) => Promise<boolean>
}

/** Whether nothing was begun for it yet, anywhere. */
export const isUnplaced = (row: RegistryRow): boolean =>
  row.attempts === 0 && row.certificate === null && row.provisioned === 'pending' && row.instance === DEFAULT_INSTANCE

/** Says where a tenant that has nothing yet shall be, and writes it down; any other stays where it is. */
export async function settlePlace(
  sql: SessionClient,
  row: RegistryRow,
  { service, candidates, answers }: ChooseOptions,
): Promise<string> {
  if (!isUnplaced(row)) return row.instance
  const found = await inspectDatabase(sql, tenantDatabaseName(row.id, service))
  if (found.state !== 'absent') return DEFAULT_INSTANCE
  const counts = await fullness(sql)
  let left = candidates()
  let chosen = leastFull(left, counts)
  while (chosen !== DEFAULT_INSTANCE && !(await answers(chosen))) {
    left = left.filter(one => one !== chosen)
    chosen = leastFull(left, counts)
  }
  if (chosen !== DEFAULT_INSTANCE) await sql`update tenants set instance = ${chosen} where id = ${row.id}`
  return chosen
}
