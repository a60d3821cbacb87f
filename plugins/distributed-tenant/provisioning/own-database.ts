// The database of a tenant under its name: made, finished after a kill, or recognised as the tenant's. Invariants: a name that
// is held by another database is refused and nothing is changed in it; a database that was ready once and is gone is never made
// again: that would hide the loss.

import { randomBytes } from 'node:crypto'
import { dropDatabase, type Found, inspectDatabase, openToOwner } from '../databases/databases.js'
import type { InstanceAccess, Visit } from '../databases/instance-access.js'
import { type Mark, markFits, mayFitLater, parseMark } from '../databases/marks.js'
import { DatabaseForeign, DatabaseMissing, TenantUnconfirmed } from '../errors.js'
import { tenantDatabaseName } from '../names.js'
import type { RegistryRow, ServiceName, SessionClient, SqlClient } from '../types.js'

/**
 * After this the name is held by a database that is ours, finished or not, and that its owner can enter.
 * @returns its mark, where it has one, and whether PUBLIC can enter it too
 */
export async function ensureDatabase(
  sql: SessionClient,
  { clone, visit }: InstanceAccess,
  row: RegistryRow,
  service: ServiceName,
): Promise<{ mark: Mark | null; toPublic: boolean }> {
  const name = tenantDatabaseName(row.id, service)
  let found = await inspectDatabase(sql, name)
  if (found.state !== 'present' && row.certificate !== null) throw missing(name)
  if (found.state === 'invalid' || (await wasEnterable(visit, found, row, name))) {
    await dropDatabase(sql, name)
    found = { state: 'absent' }
  }
  if (found.state === 'absent') {
    await clone(sql, name)
    // The clone may have lost a race: a check before the database is taken for ours.
    found = await inspectDatabase(sql, name)
  }
  const mark = refuseForeign(found, row, service)
  // A creation was killed before it had opened it.
  if (found.state === 'present' && found.unfinished) await openToOwner(sql, name)
  return { mark, toPublic: found.state === 'present' && found.toPublic }
}

/**
 * Whether it is a clone that PUBLIC could enter before it had a certificate, as earlier releases left it when they were
 * killed: rows in it may be of a role that has nothing to do with the tenant, and there can be none of the tenant's.
 */
async function wasEnterable(visit: Visit, found: Found, row: RegistryRow, name: string): Promise<boolean> {
  if (found.state !== 'present' || !found.ours || found.comment !== null || !found.toPublic) return false
  if (row.certificate !== null) return false
  return visit(name, async inside => {
    const [table] = await inside<{ known: boolean }[]>`
      select to_regclass('distributed_tenant.certificate') is not null as known`
    return table?.known === true && (await inside`select from distributed_tenant.certificate`).length === 0
  })
}

function refuseForeign(found: Found, row: RegistryRow, service: ServiceName): Mark | null {
  const name = tenantDatabaseName(row.id, service)
  if (found.state !== 'present') throw new Error(`${name} vanished while it was being made`)
  const mark = parseMark(found.comment)
  const { certificate, incarnation } = row
  const expected = { tenant: row.id, service, certificate, incarnation }
  if (found.ours && mark && mayFitLater(mark, expected)) throw new TenantUnconfirmed()
  const fits = mark
    ? markFits(mark, expected)
    : // A clone that was interrupted before its mark carries no comment; its certificate table is read next.
      found.comment === null
  if (found.ours && mark && !fits && mark.tenant === row.id && mark.incarnation !== (incarnation ?? undefined))
    throw otherIncarnation(name)
  if (!found.ours || !fits) throw foreign(name)
  return mark
}

/** Writes the certificate into a fresh clone, or reads it from one that has it already. */
export async function certify(inside: SqlClient, row: RegistryRow, name: string): Promise<string> {
  const [table] = await inside<{ known: boolean }[]>`
    select to_regclass('distributed_tenant.certificate') is not null as known`
  if (!table?.known) throw foreign(name)
  await inside`
    insert into distributed_tenant.certificate (certificate) values (${randomBytes(16).toString('hex')})
    on conflict (only_row) do nothing`
  const [written] = await inside<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
  const certificate = (written as { certificate: string }).certificate
  if (row.certificate !== null && row.certificate !== certificate) throw foreign(name)
  return certificate
}

const foreign = (name: string): Error =>
  new DatabaseForeign(
    `A database named ${name} exists and is not ours: rename or drop it by hand, then retry the tenant. Nothing was changed in it.`,
  )

const otherIncarnation = (name: string): Error =>
  new DatabaseForeign(
    `The database ${name} was made for an earlier tenant of this id: if this tenant is another customer, rename or drop it by hand, then retry the tenant; if it is the same one, see "another incarnation" in docs/troubleshooting.md. Nothing was changed in it.`,
  )

const missing = (name: string): Error =>
  new DatabaseMissing(
    `The database ${name} was ready and is gone: restore it from a backup under this name, then retry the tenant. None was made in its place.`,
  )
