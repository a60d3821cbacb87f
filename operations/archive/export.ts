// Owns an export for somebody who leaves: each table as lines of JSON or CSV, the definitions as SQL, and a manifest with
// counts and checksums. One snapshot for each service; rows come by cursor, so memory does not grow with them. Columns that
// hold secrets are left out and the manifest names them: what lets somebody sign in here is of no use elsewhere.
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { TenantId, TransactionClient } from '../../plugins/distributed-tenant/types.js'
import { own } from '../copying/compare-contents.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import type { Parcel, Write, Written } from './archive-writer.js'
import { refuseUnlessMarked } from './backup.js'
import { inSnapshot, programsFor } from './snapshot.js'
import { placeOf } from './tenant-place.js'

export type ExportFormat = 'jsonl' | 'csv'

export interface ExportOptions {
  readonly services: readonly TransferParts[]
  readonly programs: Programs
  readonly release: string
  readonly format: ExportFormat
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
  readonly tenant: {
    readonly id: TenantId
    readonly name: string
    readonly domain: string | null
    readonly settings: object
  }
  readonly services: readonly ExportedService[]
}

/** By name, whatever the service: better one column too many is named in the manifest than one password too many leaves. */
const SECRET =
  /(^|_)(password|passwd|passphrase|secret|secrets|credential|private_key|api_key|access_key|token|totp|otp|salt)(_|$)/i
const ROWS_AT_ONCE = 500

/** For a progress bar: how many there will be, more or less. A tenant that is missing has none. */
export async function countTables(id: TenantId, services: readonly TransferParts[]): Promise<number> {
  let count = 0
  for (const parts of services) {
    const place = await placeOf(parts, id)
    const row = await findTenant(parts.central, id)
    if (!row?.certificate || row.provisioned === 'removed') continue
    const [found] = await place.visit(place.name, sql =>
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
    tenant,
    services: exported,
  }
  await parcel.add('manifest.json', take => take(Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`)))
  await parcel.finish()
  return manifest
}

/** A name that is misspelled would leave in what was meant to be left out. */
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
  { programs, format, leaveOut, keep, parcel, signal, onTable }: ExportOptions,
): Promise<ExportedService> {
  const { service, sets } = parts
  const place = await placeOf(parts, id)
  return inSnapshot(place, { database: place.name, set: sets.at(-1)?.name ?? 'tenant', signal }, async snapshot => {
    await programsFor(programs, snapshot.server)
    const schema = await parcel.add(`${service}/schema.sql`, take =>
      programs.dump(place.addressOf(place.name), { snapshot: snapshot.id, format: 'sql', signal }, take),
    )
    const tables: ExportedTable[] = []
    for (const [at, table] of (await tablesOf(snapshot.tx)).entries()) {
      const secret = (column: string): boolean => {
        const name = `${service}.${table.name}.${column}`
        return leaveOut.includes(name) || (SECRET.test(column) && !keep.includes(name))
      }
      const exportable = table.columns.filter(({ name }) => !secret(name))
      const columns = exportable.map(({ name, type }) => ({ name, type }))
      const file = `${service}/${String(at + 1).padStart(4, '0')}-${plain(table.relation)}.${format}`
      let rows = 0
      const written = await parcel.add(file, async take => {
        if (format === 'csv') await take(Buffer.from(`${columns.map(({ name }) => quoted(name)).join(',')}\r\n`))
        rows = await copyRows(snapshot.tx, { ...table, columns: exportable }, format, take, signal)
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

interface Table {
  /** `public.employees`, quoted where it must be. */
  readonly name: string
  readonly relation: string
  readonly columns: readonly { readonly name: string; readonly quoted: string; readonly type: string }[]
}

async function tablesOf(tx: TransactionClient): Promise<readonly Table[]> {
  return tx.unsafe<Table[]>(`
    select format('%I.%I', n.nspname, c.relname) as name, c.relname::text as relation,
      coalesce((select json_agg(json_build_object('name', attname, 'quoted', quote_ident(attname),
          'type', format_type(atttypid, atttypmod)) order by attnum)
        from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped), '[]') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and ${own} order by n.nspname, c.relname`)
}

/** The server makes each line, so that nothing is lost between its types and ours. */
async function copyRows(
  tx: TransactionClient,
  { name, columns }: Table,
  format: ExportFormat,
  take: Write,
  signal: AbortSignal | undefined,
): Promise<number> {
  const list = columns.map(column => `t.${column.quoted}`)
  const line =
    format === 'csv'
      ? // As COPY reads it: nothing is null, two quotes are the empty text.
        list.map(one => `coalesce('"' || replace(${one}::text, '"', '""') || '"', '')`).join(` || ',' || `) || `''`
      : // A line's end in JSON is only ever between its words: those of a column of type json are its writer's.
        `(select replace(replace(to_json(r)::text, E'\\n', ' '), E'\\r', ' ') from (select ${list.join(', ')}) as r)`
  const end = format === 'csv' ? '\r\n' : '\n'
  let rows = 0
  const query = tx.unsafe<{ line: string }[]>(`select ${line} as line from only ${name} as t`)
  for await (const batch of query.cursor(ROWS_AT_ONCE)) {
    signal?.throwIfAborted()
    rows += batch.length
    await take(Buffer.from(batch.map(row => row.line + end).join('')))
  }
  return rows
}

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`

/** Names of tables may hold anything; names of files shall not. The manifest says which is which. */
const plain = (name: string): string => name.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 60) || 'table'
