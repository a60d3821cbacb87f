// Owns writing archives: a tenant's databases of all services, or the services' central databases. Each service is one
// snapshot, which pg_dump and the counting of its contents share; between services there is none. Invariant: a database is
// taken only if it carries this tenant's mark, and an archive has its name only when all of it is there.
import { createHash } from 'node:crypto'
import { inspectDatabase, markFits, parseMark } from '../../plugins/distributed-tenant/databases/databases.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { RegistryRow, TenantId } from '../../plugins/distributed-tenant/types.js'
import { contentsOf } from '../copying/compare-contents.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import { createTar, type Parcel } from './archive-writer.js'
import { FORMAT, FORMAT_VERSION, MANIFEST, type Manifest, manifestText, type Part, SUMS, sumsText } from './manifest.js'
import { inSnapshot, programsFor, type Snapshot } from './snapshot.js'
import { type Place, placeOf } from './tenant-place.js'

export interface BackupOptions {
  readonly services: readonly TransferParts[]
  readonly programs: Programs
  /** Of the package that writes. */
  readonly release: string
  /** The archive's file: it must not be there. */
  readonly to: string
  readonly signal?: AbortSignal | undefined
  /** Told with what was dumped: the database's size when it began, and the bytes of the dump as they come. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

export interface BackedUp {
  readonly archive: string
  readonly sha256: string
  readonly manifest: Manifest
}

/** @throws TRANSFER_REFUSED when the tenant has no database in one of the services; TRANSFER_FAILED */
export async function backUpTenant(id: TenantId, options: BackupOptions): Promise<BackedUp> {
  const held: { parts: TransferParts; row: RegistryRow }[] = []
  for (const parts of options.services) held.push({ parts, row: await rowOf(parts, id) })
  // Identity's own row, where it is among them; every other one is its word as it was heard.
  const { row } = held.find(({ parts }) => parts.service === 'identity') ?? (held[0] as (typeof held)[number])
  const tenant = {
    id,
    name: row.name,
    domain: row.domain,
    settings: row.settings,
    lifecycle: row.lifecycle,
    version: row.version,
  }
  return write({ kind: 'tenant', tenant }, options, async parcel => {
    const services: Part[] = []
    for (const { parts, row: mine } of held) {
      const place = await placeOf(parts, id)
      parts.report({ type: 'dumping', id })
      services.push(await dump(parcel, parts, place, { ...options, row: mine }))
      parts.report({ type: 'dumped', id })
    }
    return services
  })
}

/** The services' own databases: registries, outboxes, audit logs, and whatever secrets identity keeps there. */
export async function backUpCentral(options: BackupOptions): Promise<BackedUp> {
  return write({ kind: 'central', tenant: null }, options, async parcel => {
    const services: Part[] = []
    for (const parts of options.services) {
      const { session, visit, database } = parts
      const place = { name: database.database, addressOf: () => database, session, visit }
      services.push(await dump(parcel, parts, place, { ...options, row: null }))
    }
    return services
  })
}

async function write(
  what: Pick<Manifest, 'kind' | 'tenant'>,
  { to, release }: BackupOptions,
  fill: (parcel: Parcel) => Promise<Part[]>,
): Promise<BackedUp> {
  const parcel = await createTar(to)
  try {
    const services = await fill(parcel)
    const createdAt = new Date().toISOString()
    const manifest: Manifest = { format: FORMAT, formatVersion: FORMAT_VERSION, ...what, createdAt, release, services }
    const text = manifestText(manifest)
    await parcel.add(MANIFEST, take => take(Buffer.from(text)))
    const sha256 = createHash('sha256').update(text).digest('hex')
    const files = services.map(({ file, sha256: sum }) => ({ name: file, sha256: sum }))
    await parcel.add(SUMS, take => take(Buffer.from(sumsText([...files, { name: MANIFEST, sha256 }]))))
    await parcel.finish()
    return { archive: to, sha256, manifest }
  } finally {
    await parcel.abort()
  }
}

/** @throws TRANSFER_REFUSED */
async function rowOf(parts: TransferParts, id: TenantId): Promise<RegistryRow> {
  const row = await findTenant(parts.central, id)
  if (!row)
    throw new TransferRefused(`${parts.service} knows no tenant ${id}: check the id, or name services with --service.`)
  if (!row.certificate || row.provisioned === 'removed') {
    throw new TransferRefused(
      `${id} has no database in ${parts.service} (it is ${row.lifecycle} and ${row.provisioned}): see \`distributed-tenant show ${id}\`.`,
    )
  }
  await refuseUnlessMarked(parts, await placeOf(parts, id), row)
  return row
}

/** @throws TRANSFER_REFUSED when what stands under the tenant's name is not its own */
export async function refuseUnlessMarked(
  { service }: TransferParts,
  { name, session }: Place,
  { id, certificate, incarnation }: Pick<RegistryRow, 'id' | 'certificate' | 'incarnation'>,
): Promise<void> {
  const found = await session(sql => inspectDatabase(sql, name))
  const mark = found.state === 'present' && found.ours ? parseMark(found.comment) : null
  if (mark && markFits(mark, { tenant: id, service, certificate, incarnation })) return
  throw new TransferRefused(
    found.state === 'absent'
      ? `The database ${name} of ${service} is not there: see \`distributed-tenant doctor\`.`
      : `The database ${name} of ${service} does not carry this tenant’s mark: is this the right server? See \`distributed-tenant doctor\`.`,
  )
}

interface DumpOptions extends BackupOptions {
  readonly row: RegistryRow | null
}

async function dump(
  parcel: Parcel,
  { service, sets }: TransferParts,
  place: Place,
  { programs, signal, onBytes, row }: DumpOptions,
): Promise<Part> {
  const central = row === null
  const set = central ? 'registry' : (sets.at(-1)?.name ?? 'tenant')
  return inSnapshot(place, { database: place.name, set, signal }, async snapshot => {
    const program = await programsFor(programs, snapshot.server)
    const counting = contentsOf(snapshot.tx)
    const writing = parcel.add(`${service}.dump`, take => {
      const how = { snapshot: snapshot.id, format: 'custom', whole: central, signal } as const
      return programs.dump(place.addressOf(place.name), how, async chunk => {
        await take(chunk)
        onBytes?.(chunk.length)
      })
    })
    // Both to their end: nothing reads or writes any more when one of them has failed.
    const [counted, written] = await Promise.allSettled([counting, writing])
    signal?.throwIfAborted()
    if (written.status === 'rejected') throw written.reason
    if (counted.status === 'rejected') throw counted.reason
    const { name: file, bytes, sha256 } = written.value
    const registry = row && { version: row.version, revision: row.revision }
    return { service, file, bytes, sha256, program, registry, contents: counted.value, ...factsOf(snapshot) }
  })
}

const factsOf = ({ at, server, database, migrations }: Snapshot) => ({ at, server, database, migrations })
