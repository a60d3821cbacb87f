// The rows of materialized views in a move: replication does not carry them, so they are refreshed at the new place before the switch,
// so that no reader meets an empty one, and again after it. Invariant: one that cannot be refreshed is named to the operator.

import type { QueryClient, SqlClient } from '../../../plugins/distributed-tenant/types.js'
import { materializedViews, refreshViews, unrefreshedText } from '../../copying/materialized-views.js'

/** Those that have rows. */
export async function populatedViews(inside: QueryClient): Promise<string[]> {
  const views = await materializedViews(inside)
  return views.filter(one => one.populated).map(({ name }) => name)
}

/** @returns which were not refreshed, and why; null: all were */
export async function refreshed(inside: Pick<SqlClient, 'unsafe'>, views: readonly string[]): Promise<string | null> {
  const failed = await refreshViews(inside, views)
  return failed.length === 0 ? null : `Materialized views cannot be refreshed: ${unrefreshedText(failed)}.`
}
