// The instances that take no new tenants, as an operator has marked them: rows of the central database, so that every process
// sees a mark at its next placement, and none needs a restart.

import type { QueryClient } from '../types.js'

export interface FullInstance {
  readonly name: string
  readonly since: Date
  /** The operator's user and machine. */
  readonly markedBy: string
}

export const listFull = async (sql: QueryClient): Promise<FullInstance[]> =>
  sql<FullInstance[]>`select name, since, marked_by as "markedBy" from full_instances order by name`

/** Marking it again changes nothing. @returns false when it was marked already */
export async function markFull(sql: QueryClient, name: string, markedBy: string): Promise<boolean> {
  const { count } = await sql`
    insert into full_instances (name, marked_by) values (${name}, ${markedBy}) on conflict do nothing`
  return count > 0
}

/** @returns false when it was not marked */
export async function unmarkFull(sql: QueryClient, name: string): Promise<boolean> {
  const { count } = await sql`delete from full_instances where name = ${name}`
  return count > 0
}
