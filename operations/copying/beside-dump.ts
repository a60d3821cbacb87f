// The properties of a database that a copy needs beside its dump: its locale, whether it has the schema `public`, the server's
// settings for it, and the materialized views that had rows. Reads only.
import {
  type DatabaseSetting,
  readDatabaseSettings,
} from '../../plugins/distributed-tenant/databases/database-settings.js'
import type { Locale } from '../../plugins/distributed-tenant/databases/databases.js'
import type { QueryClient } from '../../plugins/distributed-tenant/types.js'
import { localeOf } from './empty-database.js'
import { type MaterializedView, materializedViews } from './materialized-views.js'

export interface BesideDump {
  readonly like: Locale
  readonly hasPublic: boolean
  readonly settings: readonly DatabaseSetting[]
  readonly views: readonly MaterializedView[]
}

/** Asked in that database. */
export async function besideDump(sql: QueryClient, database: string): Promise<BesideDump> {
  const schemas = await sql`select 1 from pg_namespace where nspname = 'public'`
  return {
    like: await localeOf(sql, database),
    hasPublic: schemas.length > 0,
    settings: await readDatabaseSettings(sql, database),
    views: await materializedViews(sql),
  }
}
