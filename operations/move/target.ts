// The target of a move: an empty database that is closed to all sessions, and in the end the tenant's. Invariants: each dropped
// database carries this run's comment or the tenant's certificate; the mark is written last, and even then no request is
// sent here. Each step can be repeated.

import {
  commentDatabase,
  createDatabase,
  dropDatabase,
  dropRole,
  inspectDatabase,
  type Locale,
} from '../../plugins/distributed-tenant/databases/databases.js'
import { markFits, markText, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { openRoleAt, prepareRole } from '../../plugins/distributed-tenant/databases/roles.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { keptName } from '../../plugins/distributed-tenant/instances/moved-database.js'
import { tenantDatabaseName } from '../../plugins/distributed-tenant/names.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { SessionClient, TenantId } from '../../plugins/distributed-tenant/types.js'
import { isAbandoned } from '../copying/empty-database.js'
import type { TransferTenant } from '../copying/journal.js'
import type { MoveParts } from './parts.js'
import { dropOwnRights } from './write-rights.js'

export interface Target {
  /** `locale`: how its database is made. */
  make(row: TransferTenant, locale: Locale): Promise<void>
  /** @throws TRANSFER_REFUSED when its name is held by anything else than this run's own */
  drop(row: TransferTenant): Promise<void>
  /** After the copy: it is the tenant's, and its role may log in. @throws TRANSFER_FAILED without the tenant's certificate */
  accept(row: TransferTenant): Promise<void>
}

export function createTarget(options: MoveParts & { readonly run: string; readonly to: string }): Target {
  const { service, central, withDirectConnection, sessionAt, credentials, run, to, report } = options
  const comment = `distributed-tenant:transfer:v1 ${run}`
  const nameOf = (id: TenantId): string => tenantDatabaseName(id, service)

  async function isOurs(
    at: SessionClient,
    { id, certificate }: TransferTenant,
    found: { comment: string | null; ours: boolean },
  ): Promise<boolean> {
    if (!found.ours) return false
    if (found.comment === comment) return true
    const mark = parseMark(found.comment)
    // The registry has the tenant elsewhere, and this one carries its certificate: this run's copy.
    if (mark) return certificate !== null && markFits(mark, { tenant: id, service, certificate, incarnation: null })
    // Killed between making it and writing the comment.
    return isAbandoned(at, nameOf(id), look => withDirectConnection(nameOf(id), look, to))
  }

  return {
    async make({ id }, locale) {
      const name = nameOf(id)
      await sessionAt(to)(async at => {
        const onMade = () => report({ type: 'created', id })
        await createDatabase(at, name, { template: 'template0', locale, comment, onMade })
        await prepareRole(at, name, service)
      })
    },
    async drop(row) {
      const name = nameOf(row.id)
      await sessionAt(to)(async at => {
        const found = await inspectDatabase(at, name)
        if (found.state === 'present' && !(await isOurs(at, row, found))) {
          throw new TransferRefused(
            `${name} on the instance ${to} is not of this move and was left as it is: inspect it, then go on.`,
          )
        }
        await dropDatabase(at, name)
        // What an earlier move has left there holds rights of it.
        if ((await inspectDatabase(at, keptName(row.id, service))).state === 'absent') await dropRole(at, name)
      })
    },
    async accept({ id, certificate }) {
      const name = nameOf(id)
      const copied = await withDirectConnection(
        name,
        async inside => {
          await dropOwnRights(inside, name)
          const [found] = await inside<
            { certificate: string }[]
          >`select certificate from distributed_tenant.certificate`
          return found?.certificate
        },
        to,
      )
      if (copied === undefined || copied !== certificate) {
        throw new TransferFailed(`The copy of ${name} does not carry the tenant’s certificate: nothing was switched.`)
      }
      const row = await findTenant(central, id)
      if (row?.certificate !== certificate) {
        throw new TransferFailed(`The id ${id} is another tenant’s now: nothing was switched.`)
      }
      const { incarnation } = row
      await sessionAt(to)(at =>
        at.begin(async tx => {
          await commentDatabase(tx, name, markText({ tenant: id, service, certificate: copied, incarnation }))
          await openRoleAt(tx, central, id, { service, credentials })
        }),
      )
      report({ type: 'handed_over', id })
    },
  }
}
