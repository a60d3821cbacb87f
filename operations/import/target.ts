// The target database of a tenant's data: made like its source, closed, and commented as this transfer's until it
// is handed over. Invariant: every dropped database carries this transfer's comment, or the certificate in its journal, or is
// empty and the service's. Each step can be repeated.

import { createDatabase, dropDatabase, inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import type { SessionClient } from '../../plugins/distributed-tenant/types.js'
import { isAbandoned, localeOf } from '../copying/empty-database.js'
import type { Instance } from '../copying/external-instance.js'
import type { TransferTenant } from '../copying/journal.js'
import type { TransferParts } from '../copying/parts.js'

export interface Target {
  /** Makes it, empty, in place of this transfer's leftovers. @returns its name. @throws TRANSFER_REFUSED, also when the source is missing */
  create(row: TransferTenant): Promise<string>
  /** @throws TRANSFER_REFUSED when its name is held by anything else than this transfer's own */
  drop(row: TransferTenant): Promise<void>
}

export interface TargetOptions extends Pick<TransferParts, 'service' | 'session' | 'withDirectConnection' | 'report'> {
  readonly transfer: string
  readonly source: Instance
}

export function createTarget({
  service,
  session,
  withDirectConnection,
  report,
  transfer,
  source,
}: TargetOptions): Target {
  const comment = `distributed-tenant:transfer:v1 ${transfer}`

  async function isOurs(
    sql: SessionClient,
    { certificate }: TransferTenant,
    name: string,
    found: { comment: string | null; ours: boolean },
  ): Promise<boolean> {
    if (!found.ours) return false
    if (found.comment === comment) return true
    const mark = parseMark(found.comment)
    if (mark) return certificate !== null && mark.certificate === certificate
    // Killed between making it and writing the comment.
    return isAbandoned(sql, name, look => withDirectConnection(name, look))
  }

  async function remove(sql: SessionClient, row: TransferTenant, name: string): Promise<void> {
    const found = await inspectDatabase(sql, name)
    if (found.state === 'absent') return
    if (found.state === 'present' && !(await isOurs(sql, row, name, found))) {
      throw new TransferRefused(
        `${name} at the target is not of this import and was left as it is: inspect it, then go on.`,
      )
    }
    await dropDatabase(sql, name)
  }

  return {
    async create(row) {
      const name = tenantDatabaseName(row.id, service)
      const locale = await source.withDirectConnection(sql => localeOf(sql, row.sourceDatabase))
      await session(async sql => {
        await remove(sql, row, name)
        const onMade = () => report({ type: 'created', id: row.id })
        await createDatabase(sql, name, { template: 'template0', locale, comment, onMade })
      })
      return name
    },
    drop: row => {
      const name = tenantDatabaseName(row.id, service)
      return session(sql => remove(sql, row, name))
    },
  }
}
