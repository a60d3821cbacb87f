// The export of a tenant that leaves: each table as lines of JSON or CSV, the definitions as SQL, and a manifest with
// counts and checksums. One snapshot for each service. Columns that hold secrets are left out and the manifest names them:
// what lets a user sign in here is of no use elsewhere.
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { own } from '../copying/compare-contents.js'
import { forcedRows } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Parcel, Written } from './archive-writer.js'
import { refuseUnlessMarked } from './backup.js'
import { type Cells, copyRows, headOf, tablesOf } from './export-rows.js'
import { plainSql } from './plain-sql.js'
import { namesSecret } from './secret-names.js'
import { inSnapshot, programsFor } from './snapshot.js'
import { placeOf } from './tenant-place.js'

export type ExportFormat = 'jsonl' | 'csv'

export interface ExportOptions {
  readonly services: readonly TransferParts[]
  readonly programs: Programs
  readonly release: string
  readonly format: ExportFormat
  /** How cells of CSV are written that a spreadsheet would run as a formula. */
  readonly cells: Cells
  /** `service.table.column` as the manifest writes them: left out too. */
  readonly leaveOut: readonly string[]
  /** As `leaveOut`: not left out, though it looks like a secret. */
  readonly keep: readonly string[]
  readonly parcel: Parcel
  readonly signal?: AbortSignal | undefined
  /** A table is done. */
  readonly onTable?: (() => void) | undefined
}

export interface ExportedTable extends Written {
  /** As a statement would name it. */
  readonly table: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly leftOut: readonly string[]
  readonly rows: number
}

export interface ExportedService {
  readonly service: string
  readonly at: string
  readonly server: string
  readonly schemaVersion: number
  /** The definitions of everything, as SQL. */
  readonly schema: Written
  readonly tables: readonly ExportedTable[]
  /** Not in any table: not exported. */
  readonly largeObjects: number
}

export interface ExportManifest {
  readonly format: 'distributed-tenant-export'
  readonly formatVersion: 1
  readonly createdAt: string
  readonly release: string
  readonly tables: ExportFormat
  /** Of CSV: `guarded` have a ' before what a spreadsheet would run, see docs/backup.md; `exact` are as they are. */
  readonly cells?: Cells
  readonly tenant: {
    readonly id: TenantId
    readonly name: string
    readonly domain: string | null
    readonly settings: object
  }
  readonly services: readonly ExportedService[]
}

/** For a progress bar: how many there will be, more or less. A tenant that is missing has none. */
export async function countTables(id: TenantId, services: readonly TransferParts[]): Promise<number> {
  let count = 0
  for (const parts of services) {
    const place = await placeOf(parts, id)
    const row = await findTenant(parts.central, id)
    if (!row?.certificate || row.provisioned === 'removed') continue
    const [found] = await place.withDirectConnection(place.name, sql =>
      sql.unsafe<{ count: number }[]>(
        `select count(*)::int as count from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and ${own}`,
      ),
    )
    count += found?.count ?? 0
  }
  return count
}

/** @throws TRANSFER_REFUSED, TRANSFER_FAILED; the parcel is then the caller's to abort */
export async function exportTenant(id: TenantId, options: ExportOptions): Promise<ExportManifest> {
  const { services, format, release, parcel } = options
  const exported: ExportedService[] = []
  let tenant: ExportManifest['tenant'] | null = null
  for (const parts of services) {
    const row = await findTenant(parts.central, id)
    if (!row?.certificate || row.provisioned === 'removed') {
      throw new TransferRefused(`${id} has no database in ${parts.service}: see \`distributed-tenant show ${id}\`.`)
    }
    await refuseUnlessMarked(parts, await placeOf(parts, id), row)
    tenant ??= { id, name: row.name, domain: row.domain, settings: row.settings }
    exported.push(await exportService(id, parts, options))
  }
  if (!tenant) throw new TransferRefused('No service is named: nothing was exported.')
  refuseUnknown(options, exported)
  const manifest: ExportManifest = {
    format: 'distributed-tenant-export',
    formatVersion: 1,
    createdAt: new Date().toISOString(),
    release,
    tables: format,
    ...(format === 'csv' && { cells: options.cells }),
    tenant,
    services: exported,
  }
  await parcel.add('manifest.json', take => take(Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`)))
  await parcel.finish()
  return manifest
}

/** A misspelled name would keep a column in that was meant to be left out. */
function refuseUnknown({ leaveOut, keep }: ExportOptions, exported: readonly ExportedService[]): void {
  const known = new Set(
    exported.flatMap(({ service, tables }) =>
      tables.flatMap(({ table, columns, leftOut }) =>
        [...columns.map(({ name }) => name), ...leftOut].map(name => `${service}.${table}.${name}`),
      ),
    ),
  )
  const strange = [...leaveOut, ...keep].find(name => !known.has(name))
  if (strange) {
    throw new TransferRefused(
      `There is no column ${strange}: name it like employee.public.employees.email, as the manifest does. Nothing was exported.`,
    )
  }
}

async function exportService(
  id: TenantId,
  parts: TransferParts,
  { programs, format, cells, leaveOut, keep, parcel, signal, onTable }: ExportOptions,
): Promise<ExportedService> {
  const { service, sets } = parts
  const place = await placeOf(parts, id)
  return inSnapshot(place, { database: place.name, set: sets.at(-1)?.name ?? 'tenant', signal }, async snapshot => {
    await programsFor(programs, snapshot.server)
    const forced = await forcedRows(snapshot.tx)
    if (forced) {
      throw new TransferRefused(`${place.name} of ${service} has ${forced.what}: ${forced.cure}. Nothing was exported.`)
    }
    const schema = await parcel.add(`${service}/schema.sql`, take =>
      plainSql(take, write =>
        programs.dump(place.addressOf(place.name), { snapshot: snapshot.id, format: 'sql', signal }, write),
      ),
    )
    const tables: ExportedTable[] = []
    for (const [at, table] of (await tablesOf(snapshot.tx)).entries()) {
      const secret = (column: string): boolean => {
        const name = `${service}.${table.name}.${column}`
        return leaveOut.includes(name) || (namesSecret(column) && !keep.includes(name))
      }
      const exportable = table.columns.filter(({ name }) => !secret(name))
      const columns = exportable.map(({ name, type }) => ({ name, type }))
      const file = `${service}/${String(at + 1).padStart(4, '0')}-${plain(table.relation)}.${format}`
      let rows = 0
      const written = await parcel.add(file, async take => {
        if (format === 'csv') await take(Buffer.from(headOf(exportable, cells)))
        rows = await copyRows(snapshot.tx, { ...table, columns: exportable }, { format, cells, signal }, take)
      })
      const leftOut = table.columns.filter(({ name }) => secret(name)).map(({ name }) => name)
      tables.push({ table: table.name, ...written, columns, leftOut, rows })
      onTable?.()
    }
    const [objects] = await snapshot.tx<
      { count: number }[]
    >`select count(*)::float8 as count from pg_largeobject_metadata`
    return {
      service,
      at: snapshot.at,
      server: snapshot.server.version,
      schemaVersion: snapshot.migrations.length,
      schema,
      tables,
      largeObjects: objects?.count ?? 0,
    }
  })
}

/** Names of tables may hold anything; names of files shall not. The manifest says which is which. */
const plain = (name: string): string => name.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 60) || 'table'
