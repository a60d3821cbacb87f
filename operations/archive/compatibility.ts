// The compatibility of an archive's part with this release, these programs and this server: each reason against a restore,
// with its cure. Reads only.

import type { SqlClient } from '../../plugins/distributed-tenant/types.js'
import { isKnownAs, type MigrationSet } from '../../postgres/migrations/migration-files.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Manifest, Part } from './manifest.js'

/** @throws TRANSFER_REFUSED when the programs are missing */
export async function unfit(
  { migrations, program, server, contents }: Part,
  to: { readonly central: SqlClient; readonly set: MigrationSet; readonly programs: Programs },
): Promise<string[]> {
  const reasons: string[] = []
  // An archive of an earlier release; this one writes none that has them.
  if (contents.tables.some(({ name }) => name === 'large objects')) {
    reasons.push(
      'it holds large objects, which are not supported: restore it with pg_restore into a database of its own, and copy them into bytea columns',
    )
  }
  const strange = migrations.find(({ version, checksum }) => {
    const migration = to.set.migrations[version - 1]
    return !migration || !isKnownAs(migration, checksum)
  })
  if (strange && strange.version > to.set.version) {
    reasons.push(
      `its schema is at version ${migrations.length} (${migrations.at(-1)?.name}), this release ends at ${to.set.version}: restore it with the newer release`,
    )
  } else if (strange) {
    reasons.push(
      `its migration ${strange.version} (${strange.name}) is not this release’s: restore it with the release that made it`,
    )
  }
  const [row] = await to.central<{ number: number }[]>`select current_setting('server_version_num')::int as number`
  const major = Math.floor((row as { number: number }).number / 10_000)
  // What an older pg_dump wrote loads into a newer server, by an older pg_restore too (PostgreSQL's page on pg_dump).
  const mine = await to.programs.version()
  if (mine < program) {
    reasons.push(`it was written by pg_dump ${program}, pg_restore is ${mine}: install postgresql-client-${program}`)
  }
  if (major < server.major) {
    reasons.push(`it is of PostgreSQL ${server.major}, the server is ${major}: restore it on a server that is as new`)
  }
  return reasons
}

/** Of an archive that was never restored when it was written: what proves it. Null for one that was. */
export const unproven = ({ formatVersion }: Pick<Manifest, 'formatVersion'>): string | null =>
  formatVersion === 1
    ? 'The archive has format 1, whose releases did not try out what they wrote: only a restore proves that it can be restored, with --as <new-id> as a new tenant.'
    : null
