// The functions of the central database that are kept as whole files and not in migrations: applied when the text differs from
// the one that was applied last, whose checksum is in the function's comment. Invariant: the signature stays, and during a
// deployment the processes of both releases work with either text; any other change needs a migration.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { readTextFile } from '../../../files/text-file.js'
import { lockNames, lockTransaction } from '../../../postgres/advisory-locks.js'
import type { SqlClient } from '../types.js'

/**
 * Applies the file of a function, which has the function's name.
 * @param again also when its text was applied last: migrations that have run since may have put another in its place
 * @returns whether it was applied
 */
export async function ensureFunction(sql: SqlClient, file: string, again: boolean): Promise<boolean> {
  const name = basename(file, '.sql')
  const text = readTextFile(file).replaceAll('\r\n', '\n')
  const comment = `distributed-tenant:function:v1 ${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
  const isApplied = async (at: Pick<SqlClient, 'unsafe'>): Promise<boolean> => {
    const [row] = await at.unsafe<{ comment: string | null }[]>(
      "select obj_description(to_regproc($1), 'pg_proc') as comment",
      [name],
    )
    return row?.comment === comment
  }
  if (!again && (await isApplied(sql))) return false
  await sql.begin(async tx => {
    await lockTransaction(tx, lockNames.migrate)
    await tx.unsafe(text)
    await tx.unsafe(`comment on function ${name} is '${comment}'`)
  })
  return true
}
