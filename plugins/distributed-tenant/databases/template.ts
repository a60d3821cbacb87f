// `template_{service}_{version}`: the migrated database from which every tenant of this release is cloned. It accepts no
// connections, since one session in it makes every clone wait 5 s and fail. A half-built or outdated one is made again.

import { lockNames, withLock } from '../../../postgres/advisory-locks.js'
import { builtBy, type MigrationSet } from '../../../postgres/migrations/migration-files.js'
import { migrate } from '../../../postgres/migrations/migrations.js'
import { templateName } from '../names.js'
import type { QueryClient, ServiceName, SessionClient } from '../types.js'
import { applyDatabaseSettings, type DatabaseSetting, readDatabaseSettings } from './database-settings.js'
import { commentDatabase, createDatabase, dropDatabase, inspectDatabase } from './databases.js'
import type { Visit } from './instance-access.js'
import { templateMark } from './marks.js'
import { ensureTenantGroup } from './roles.js'

/** The name of this release's template, and the mark that names its content. */
export interface Template {
  readonly name: string
  readonly version: number
  readonly mark: string
}

export interface TemplateOptions {
  readonly service: ServiceName
  /** Our own tables inside a tenant database, then the service's. */
  readonly sets: readonly MigrationSet[]
  readonly visit: Visit
}

export function templateOf({ service, sets }: Pick<TemplateOptions, 'service' | 'sets'>): Template {
  const { version } = sets.at(-1) as MigrationSet
  const mark = templateMark(builtBy(sets))
  return { name: templateName(service, version), version, mark }
}

/** Builds the template first when it is missing, unfinished, or of another content; returns its name. */
export async function ensureTemplate(sql: SessionClient, options: TemplateOptions): Promise<string> {
  const { service, sets, visit } = options
  const { name, version, mark } = templateOf(options)
  return withLock(sql, lockNames.template, async () => {
    await useTemplate(sql, { name, version })
    // Rights in a template are the group's, so the group comes first.
    await ensureTenantGroup(sql, service)
    const found = await inspectDatabase(sql, name)
    if (found.state === 'present' && found.comment === mark) return name
    await dropDatabase(sql, name)
    await createDatabase(sql, name, { template: 'template0' })
    await visit(name, async inside => {
      for (const set of sets) await migrate(inside, set)
    })
    // One transaction: finished or not, with nothing in between.
    await sql.begin(async tx => {
      await tx`alter database ${tx(name)} is_template true allow_connections false`
      await commentDatabase(tx, name, mark)
    })
    return name
  })
}

export interface Cloner {
  /** Checked once per process; a failure is not remembered, so that the next call tries again. */
  ensure(sql: SessionClient): Promise<string>
  /** Clones the template under a name; one that is taken counts as done. @returns whether this call made it */
  clone(sql: SessionClient, name: string): Promise<boolean>
}

const NO_SUCH_DATABASE = '3D000'
/** The loser of a race for a name gets either. */
const TAKEN = new Set<unknown>(['42P04', '23505'])

export function createCloner(options: TemplateOptions): Cloner {
  let known: Promise<string> | null = null
  let settings: Promise<readonly DatabaseSetting[]> | null = null
  const ensure = (sql: SessionClient): Promise<string> => {
    known ??= ensureTemplate(sql, options).catch(error => {
      known = null
      throw error
    })
    return known
  }
  /** The server copies no settings of a template. */
  async function setAsTemplate(sql: SessionClient, name: string): Promise<void> {
    settings ??= ensure(sql)
      .then(template => readDatabaseSettings(sql, template))
      .catch(error => {
        settings = null
        throw error
      })
    await applyDatabaseSettings(sql, name, await settings)
  }
  return {
    ensure,
    async clone(sql, name) {
      for (let again = true; ; again = false) {
        try {
          await createDatabase(sql, name, { template: await ensure(sql) })
          await setAsTemplate(sql, name)
          return true
        } catch (error) {
          const { code } = error as { code?: string }
          if (TAKEN.has(code)) {
            // A killed call may have left it without them.
            if (await isOwn(sql, name)) await setAsTemplate(sql, name)
            return false
          }
          if (code !== NO_SUCH_DATABASE || !again) throw error
          // The template was dropped meanwhile.
          known = null
          settings = null
        }
      }
    },
  }
}

async function isOwn(sql: SessionClient, name: string): Promise<boolean> {
  const found = await inspectDatabase(sql, name)
  return found.state === 'present' && found.ours
}

/** Records that this release clones from its template; to be repeated, or a newer release takes it for abandoned. */
export async function useTemplate(
  sql: QueryClient,
  { name, version }: Pick<Template, 'name' | 'version'>,
): Promise<void> {
  await sql`
    insert into templates (name, version) values (${name}, ${version})
    on conflict (name) do update set used_at = now()`
}

/** A release without a record for this long counts as stopped. */
export const ABANDONED_AFTER = '10 minutes'

/** True while a release with newer migrations runs beside this one: then its spares are the better ones. */
export async function isSuperseded(sql: QueryClient, { version }: Template): Promise<boolean> {
  const rows = await sql`
    select 1 from templates where version > ${version} and used_at > now() - ${ABANDONED_AFTER}::interval limit 1`
  return rows.length > 0
}

/** Drops the templates of earlier releases that were not used for a while; one without a record gets one, and that while. */
export async function dropOldTemplates(
  sql: SessionClient,
  service: ServiceName,
  { name, version }: Template,
): Promise<string[]> {
  const pattern = `^template_${service}_[0-9]+$`
  await sql`
    insert into templates (name, version)
    select datname, split_part(datname, '_', 3)::int from pg_database where datname ~ ${pattern}
    on conflict (name) do nothing`
  const old = await sql<{ name: string }[]>`
    select name from templates
    where name <> ${name} and version < ${version} and used_at < now() - ${ABANDONED_AFTER}::interval`
  for (const template of old) {
    await dropDatabase(sql, template.name)
    await sql`delete from templates where name = ${template.name}`
  }
  return old.map(template => template.name)
}
