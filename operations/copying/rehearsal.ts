// The rehearsal of a copy: a dump is restored by the service's role into a database of its own on the same instance, compared,
// and dropped, before anything depends on it. Unrestorable objects are found here, with the server's own error.
// Invariant: a rehearsal's database is dropped by its own run, or after a kill by the next one; a lock of the session that made
// it shows whether it is in use.

import { randomBytes } from 'node:crypto'
import { applyDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { createDatabase, dropDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { TransferFailed } from '../../plugins/distributed-tenant/errors.js'
import type { QueryClient, ServiceName, SessionClient, SqlClient } from '../../plugins/distributed-tenant/types.js'
import { ifUnlocked, lockNames, withLock } from '../../postgres/advisory-locks.js'
import type { BesideDump } from './beside-dump.js'
import {
  type Comparing,
  type Contents,
  differences,
  differencesText,
  onlyWorded,
  readContents,
} from './compare-contents.js'
import { dropPublicSchema } from './empty-database.js'
import type { TransferParts } from './parts.js'

export interface Rehearsal extends Pick<BesideDump, 'like' | 'hasPublic' | 'settings'> {
  readonly service: ServiceName
  /** Fills the empty database. */
  readonly fill: (database: string) => Promise<void>
  /** Also reads from it, before it is dropped. */
  readonly look?: (inside: SqlClient) => Promise<void>
}

/** Where it takes place. */
export type Stage = Pick<TransferParts, 'session' | 'withDirectConnection'>

const PREFIX = 'proof_'
const nameFor = (service: ServiceName): string => `${PREFIX}${service}_${randomBytes(6).toString('hex')}`

/** @returns the contents of the copy. @throws the error of the restore */
export async function rehearse(stage: Stage, rehearsal: Rehearsal): Promise<Contents> {
  const { service, like, hasPublic, settings, fill, look } = rehearsal
  return stage.session(async sql => {
    for (const left of await leftByRehearsals(sql, service)) await dropLeft(sql, left)
    const name = nameFor(service)
    const fillAndRead = async (): Promise<Contents> => {
      await createDatabase(sql, name, { template: 'template0', locale: like })
      if (!hasPublic) await stage.withDirectConnection(name, dropPublicSchema)
      await fill(name)
      await applyDatabaseSettings(sql, name, settings).catch(error => {
        throw new TransferFailed(
          `A setting of the database cannot be set by the service’s role: ${(error as Error).message}`,
        )
      })
      return await stage.withDirectConnection(name, async inside => {
        await look?.(inside)
        return readContents(inside)
      })
    }
    return withLock(sql, lockNames.rehearsal(name), () => fillAndRead().finally(() => dropDatabase(sql, name)))
  })
}

/** Databases of rehearsals that were killed. */
export async function leftByRehearsals(sql: QueryClient, service: ServiceName): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select datname as name from pg_database
    where datname ~ ${`^${PREFIX}${service}_[0-9a-f]{12}$`} and pg_has_role(current_user, datdba, 'MEMBER') order by 1`
  const left: string[] = []
  for (const { name } of rows) {
    const [row] = await sql<{ held: boolean }[]>`
      with key as (select hashtextextended(${lockNames.rehearsal(name)}, 0) as key)
      select exists (select from pg_locks, key where locktype = 'advisory' and objsubid = 1
        and (classid::bigint << 32) + objid::bigint = key.key) as held`
    if (!row?.held) left.push(name)
  }
  return left
}

/** @returns false while its rehearsal runs */
export function dropLeft(sql: SessionClient, name: string): Promise<boolean> {
  return ifUnlocked(
    sql,
    lockNames.rehearsal(name),
    async () => {
      await dropDatabase(sql, name)
      return true
    },
    () => false,
  )
}

export interface CopyComparison extends Pick<Comparing, 'without'> {
  /** Of the original, for messages. */
  readonly database: string
  /** The original's definitions, by a rehearsal. */
  readonly again: () => Promise<Contents>
}

/** @throws TRANSFER_FAILED, which names the differences of a copy that was made from a dump of an original that is there */
export async function refuseUnlike(
  original: Contents,
  copy: Contents,
  { database, ...how }: CopyComparison,
): Promise<void> {
  const wrong = await unlike(original, copy, how)
  if (wrong.length > 0) throw new TransferFailed(`The copy of ${database} is not like it (${differencesText(wrong)}).`)
}

/** Where only the spelling of expressions is different, the copy must spell them as a rehearsal of the original's definitions does. */
async function unlike(
  original: Contents,
  copy: Contents,
  { without, again }: Omit<CopyComparison, 'database'>,
): Promise<string[]> {
  const how = without === undefined ? {} : { without }
  const wrong = differences(original, copy, { by: 'wording', ...how })
  if (wrong.length === 0) return wrong
  if (!onlyWorded(wrong)) return differences(original, copy, { by: 'names', ...how })
  return differences(await again(), copy, { by: 'wording', only: 'shape', ...how })
}
