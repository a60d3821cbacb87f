// The rows of materialized views in a copy: a dump leaves them out, and they are made anew apart from it and after it,
// where names resolve as they do for the tenant. Invariant: a view that cannot be refreshed does not stop the others.
import type { QueryClient, SqlClient } from '../../plugins/distributed-tenant/types.js'

export interface MaterializedView {
  /** As a statement would name it. */
  readonly name: string
  /** As pg_dump's patterns name it. */
  readonly pattern: string
  readonly populated: boolean
}

export async function materializedViews(sql: QueryClient): Promise<MaterializedView[]> {
  return sql<MaterializedView[]>`
    select format('%I.%I', nspname, relname) as name, relispopulated as populated,
      format('"%s"."%s"', replace(nspname, '"', '""'), replace(relname, '"', '""')) as pattern
    from pg_class join pg_namespace n on n.oid = relnamespace where relkind = 'm' order by 1`
}

export interface Unrefreshed {
  readonly name: string
  readonly why: string
}

/** One that reads another waits for it. */
const NOT_POPULATED = '55000'

/**
 * @param names of those that had rows
 * @returns those that could not be refreshed, and are without rows
 */
export async function refreshViews(
  inside: Pick<SqlClient, 'unsafe'>,
  names: readonly string[],
): Promise<Unrefreshed[]> {
  const failed: Unrefreshed[] = []
  // The settings of the database bind its tenant.
  await inside.unsafe('set default_transaction_read_only = off')
  let open = names
  while (open.length > 0) {
    const waiting: (Unrefreshed & { readonly waits: boolean })[] = []
    for (const name of open) {
      try {
        await inside.unsafe(`refresh materialized view ${name}`)
      } catch (error) {
        const { severity, code, message } = error as { severity?: string; code?: string; message: string }
        if (!severity) throw error
        waiting.push({ name, why: message, waits: code === NOT_POPULATED })
      }
    }
    failed.push(...waiting.filter(({ waits }) => !waits))
    const left = waiting.filter(({ waits }) => waits)
    if (left.length === open.length) return [...failed, ...left].map(({ name, why }) => ({ name, why }))
    open = left.map(({ name }) => name)
  }
  return failed.map(({ name, why }) => ({ name, why }))
}

export const unrefreshedText = (views: readonly Unrefreshed[]): string =>
  views.map(({ name, why }) => `${name} (${why})`).join('; ')
