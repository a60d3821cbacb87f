// Owns `template_{service}_{version}`: the migrated database every tenant of this release is cloned from. It accepts no
// connections, since one session in it makes every clone wait 5 s and fail. A half-built or outdated one is made again.
import type { SessionClient } from '../request/client.js'
import type { ServiceName, SqlClient } from '../types.js'
import { closeToPublic, commentDatabase, createDatabase, dropDatabase, inspectDatabase } from './databases.js'
import { type MigrationSet, migrate } from './migrations.js'
import { templateName } from './names.js'

export interface TemplateOptions {
  readonly service: ServiceName
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  /** A client on the named database, closed when the function is done. */
  readonly visit: <T>(database: string, fn: (sql: SqlClient) => Promise<T>) => Promise<T>
}

/** Returns the template's name, building it first when it is missing, unfinished, or of another content. */
export async function ensureTemplate(sql: SessionClient, options: TemplateOptions): Promise<string> {
  const { service, sets, visit } = options
  const tenantSet = sets.at(-1) as MigrationSet
  const name = templateName(service, tenantSet.version)
  const mark = `distributed-tenant:template:v1 ${sets.map(set => set.checksum).join(' ')}`
  await sql`select pg_advisory_lock(hashtextextended('distributed_tenant.template', 0))`
  try {
    const found = await inspectDatabase(sql, name)
    if (found.state === 'present' && found.comment === mark) return name
    await dropDatabase(sql, name)
    await createDatabase(sql, name, 'template0')
    await closeToPublic(sql, name)
    await visit(name, async inside => {
      for (const set of sets) await migrate(inside, set)
    })
    // One transaction: finished or not, with nothing in between.
    await sql.begin(async tx => {
      await tx`alter database ${tx(name)} is_template true allow_connections false`
      await commentDatabase(tx, name, mark)
    })
    return name
  } finally {
    await sql`select pg_advisory_unlock(hashtextextended('distributed_tenant.template', 0))`
  }
}
