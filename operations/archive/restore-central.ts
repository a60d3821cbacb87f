// Restores an empty central database from an archive: for a server that was lost with all its data. Invariant: a database that
// holds anything is never touched. The dump is one transaction, so a failure or a kill leaves it empty.
import type { Readable } from 'node:stream'
import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { differences, readContents } from '../copying/compare-contents.js'
import { refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import { rolesMissing } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Part } from './manifest.js'
import { programsFor } from './snapshot.js'

/** @throws TRANSFER_REFUSED when it is not empty, not this service's, or of another role than the archive's; TRANSFER_FAILED */
export async function restoreCentralDatabase(
  { service, database, session, withDirectConnection }: TransferParts,
  options: {
    readonly part: Part
    readonly dump: () => Readable
    readonly programs: Programs
    readonly signal: AbortSignal
    readonly dryRun: boolean
  },
): Promise<void> {
  const { part, programs, signal } = options
  const { parseCentralMark } = await import('../../plugins/distributed-tenant/databases/marks.js')
  const facts = await session(async sql => {
    const [row] = await sql<{ comment: string | null; number: number; objects: number }[]>`
      select shobj_description(oid, 'pg_database') as comment, current_setting('server_version_num')::int as number,
        (select count(*)::int from pg_class join pg_namespace n on n.oid = relnamespace
          where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)') as objects
      from pg_database where datname = current_database()`
    return row as { comment: string | null; number: number; objects: number }
  })
  if (parseCentralMark(facts.comment) !== service || part.service !== service) {
    throw new TransferRefused(
      `${database.database} at ${database.host}:${database.port} is not the central database of ${service}: make it with \`distributed-tenant init --service ${service}\`.`,
    )
  }
  if (facts.objects > 0) {
    throw new TransferRefused(
      `The central database of ${service} is not empty, and nothing in it is replaced: restore into one that \`distributed-tenant init\` has just made, before the service is started.`,
    )
  }
  const major = Math.floor(facts.number / 10_000)
  const program = await programsFor(programs, { major })
  if (program < part.program || major < part.server.major) {
    throw new TransferRefused(
      `${part.file} is of PostgreSQL ${part.server.major} and pg_dump ${part.program}: restore it with a server and client programs that are as new.`,
    )
  }
  const { user } = database
  if (part.role !== undefined && part.role !== user) {
    throw new TransferRefused(
      `${part.file} is of the role ${part.role}, whose rights to write audit rows go by the name ${writerOf(part.role)}, and the role of ${service} here is ${user}. Nothing was changed: drop the empty ${database.database}, make it again with \`distributed-tenant init\` under DB_USERNAME=${part.role}, and let the service use that role.`,
    )
  }
  const missing = await session(sql =>
    rolesMissing(
      sql,
      (part.roles ?? []).filter(role => role !== writerOf(user)),
    ),
  )
  if (missing.length > 0) {
    throw new TransferRefused(
      `Rights in ${part.file} name roles that the server does not have (${missing.join(', ')}). Nothing was changed: create them first.`,
    )
  }
  if (options.dryRun) return
  await session(async sql => {
    // What audit rows are written through: rights in the dump name it. The migration that makes it is in the dump, as done.
    await sql.unsafe(`do $$ declare writer text := current_user || '_audit'; begin
      if not exists (select from pg_roles where rolname = writer) then execute format('create role %I nologin', writer); end if;
      execute format('grant %I to %I', writer, current_user);
    end $$`)
  })
  const { settings, views = [] } = part
  await programs.restore(options.dump(), database, { whole: true, publications: false, signal })
  await session(sql => applyDatabaseSettings(sql, database.database, settings ?? []))
  const of2 = settings !== undefined
  const copied = await withDirectConnection(database.database, inside => readContents(inside, { asTables: !of2 }))
  const without = new Set(['publication'])
  const wrong = differences(part.contents, copied, { by: 'wording', without, ...(!of2 && { only: 'rows' }) })
  if (wrong.length > 0) {
    throw new TransferFailed(
      `The central database of ${service} is not what the archive says (${wrong.slice(0, 5).join('; ')}): drop it, make it again with \`distributed-tenant init\`, and try once more.`,
    )
  }
  const failed = await withDirectConnection(database.database, inside => refreshViews(inside, views))
  if (failed.length > 0) {
    throw new TransferFailed(
      `The central database of ${service} is restored, but for the rows of its materialized views ${unrefreshedText(failed)}: correct them, then refresh them.`,
    )
  }
}

/** The role that audit rows are written through, by the migration that makes it. */
const writerOf = (user: string): string => `${user}_audit`
