// The version of a server that is copied from, and whether a copy of its definitions can be made on another server.
// PostgreSQL 15.20 and its round note on each new column by which version it was made (`pg_attver`, in its options). Programs of
// an older round write that into a dump, and servers of an older round refuse it. It only reads, and undoes its one attempt.
import type { DatabaseOptions } from '../../plugins/distributed-tenant/config/options.js'
import type { QueryClient, SessionClient } from '../../plugins/distributed-tenant/types.js'
import type { Instance } from './external-instance.js'
import { block, type Obstacle } from './obstacle.js'
import type { Release } from './pg-process.js'
import { isOfServer, type Programs } from './pg-programs.js'

export const serverRelease = (source: Instance): Promise<Release> => source.withDirectConnection(askRelease)

export async function askRelease(sql: QueryClient): Promise<Release> {
  const [row] = await sql<Release[]>`
    select current_setting('server_version_num')::int / 10000 as major,
      current_setting('server_version_num')::int % 10000 as minor`
  return row as Release
}

/** Whether columns of this database have the note. A column for `needs` of a survey. */
export const columnNotes = `exists (
  select from pg_attribute where attrelid >= 16384 and attnum > 0 and not attisdropped and attoptions::text like '%pg_attver=%')`

/** What pg_dump writes where it does not leave the note out. */
const WRITTEN = / SET \(pg_attver=/

/**
 * The obstacle of a database whose columns have the note, where the dump would hold it and the target refuses it.
 * @param takes whether the target takes the note
 */
export async function notesInTheWay(
  programs: Programs,
  from: DatabaseOptions,
  server: Release,
  takes: () => Promise<boolean>,
): Promise<Obstacle[]> {
  const found = await programs.release().catch(() => null)
  // Missing programs are an obstacle of their own, and those of the server leave the note out.
  if (found === null || found.major < server.major || isOfServer(found, server)) return []
  if (await takes()) return []
  if (!WRITTEN.test(await programs.definitions(from))) return []
  const { major, minor } = server
  return [
    block(
      from.database,
      `has columns with the option pg_attver of PostgreSQL ${major}.${minor}, which pg_dump ${found.major}.${found.minor} copies and the target refuses: install postgresql-client-${major} of version ${major}.${minor} or later, or name its folder with --programs`,
    ),
  ]
}

/** Whether this server takes the note: tried on a temporary table, in a transaction that is taken back. */
export async function takesNote(sql: SessionClient): Promise<boolean> {
  const undone = new Error('taken back')
  try {
    await sql.begin(async tx => {
      await tx.unsafe('create temporary table fdt_column_note (n int) on commit drop')
      await tx.unsafe('alter table fdt_column_note alter column n set (pg_attver=1)')
      throw undone
    })
  } catch (error) {
    if (error === undone) return true
    // Any other failure is not about the note.
    if ((error as { code?: string }).code !== '22023') throw error
  }
  return false
}
