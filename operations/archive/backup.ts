// The writer of backups: a tenant's databases of all services, or the services' central databases. Each service is one snapshot
// (dump-service.ts); between services there is none. Invariant: a database is taken only if it carries this tenant's mark, and an
// archive has its name only when all of it is there and was tried out.

import { createHash } from 'node:crypto'
import { inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markFits, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, RegistryRow, TenantId } from '../../plugins/distributed-tenant/types.js'
import type { TransferParts } from '../copying/parts.js'
import { createTar, type TarParcel } from './archive-writer.js'
import { dumpService, type HowToDump } from './dump-service.js'
import { FORMAT, FORMAT_VERSION, MANIFEST, type Manifest, manifestText, type Part, SUMS, sumsText } from './manifest.js'
import { type Place, placeIn } from './tenant-place.js'

export interface BackupOptions extends HowToDump {
  readonly services: readonly TransferParts[]
  /** Of the package that writes. */
  readonly release: string
  /** The archive's file: it must not be there. */
  readonly to: string
}

export interface BackedUp {
  readonly archive: string
  readonly sha256: string
  readonly manifest: Manifest
  /** Objects that a restore will not bring back as they are, in sentences. */
  readonly warnings: readonly string[]
}

/** @throws TRANSFER_REFUSED when the tenant has no database in one of the services; TRANSFER_FAILED */
export async function backUpTenant(id: TenantId, options: BackupOptions): Promise<BackedUp> {
  const held = await Promise.all(
    options.services.map(async parts => {
      const row = await rowOf(parts, id)
      return { parts, row, place: placeIn(parts, id, row) }
    }),
  )
  // Identity's own row, where it is among them; any other has a copy of identity's state.
  const { row } = held.find(({ parts }) => parts.service === 'identity') ?? (held[0] as (typeof held)[number])
  const tenant = {
    id,
    name: row.name,
    domain: row.domain,
    settings: row.settings,
    lifecycle: row.lifecycle,
    version: row.version,
  }
  return write({ kind: 'tenant', tenant }, options, async (parcel, warnings) => {
    const services: Part[] = []
    for (const { parts, row: mine, place } of held) {
      parts.report({ type: 'dumping', id })
      services.push(await dumpService(parcel, parts, place, { ...options, row: mine, warnings }))
      parts.report({ type: 'dumped', id })
    }
    return services
  })
}

/** The services' own databases: registries, outboxes, audit logs, and whatever secrets identity keeps there. */
export async function backUpCentral(options: BackupOptions): Promise<BackedUp> {
  return write({ kind: 'central', tenant: null }, options, async (parcel, warnings) => {
    const services: Part[] = []
    for (const parts of options.services) {
      const { session, withDirectConnection, database } = parts
      const place = {
        name: database.database,
        addressOf: (name: string) => ({ ...database, database: name }),
        session,
        withDirectConnection,
        look: <T>(fn: (sql: QueryClient) => Promise<T>) => fn(parts.central),
      }
      services.push(await dumpService(parcel, parts, place, { ...options, row: null, warnings }))
    }
    return services
  })
}

async function write(
  what: Pick<Manifest, 'kind' | 'tenant'>,
  { to, release }: BackupOptions,
  fill: (parcel: TarParcel, warnings: string[]) => Promise<Part[]>,
): Promise<BackedUp> {
  const parcel = await createTar(to)
  const warnings: string[] = []
  try {
    const services = await fill(parcel, warnings)
    const createdAt = new Date().toISOString()
    const manifest: Manifest = { format: FORMAT, formatVersion: FORMAT_VERSION, ...what, createdAt, release, services }
    const text = manifestText(manifest)
    await parcel.add(MANIFEST, take => take(Buffer.from(text)))
    const sha256 = createHash('sha256').update(text).digest('hex')
    const files = services.map(({ file, sha256: sum }) => ({ name: file, sha256: sum }))
    await parcel.add(SUMS, take => take(Buffer.from(sumsText([...files, { name: MANIFEST, sha256 }]))))
    await parcel.finish()
    return { archive: to, sha256, manifest, warnings }
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
  await refuseUnlessMarked(parts, placeIn(parts, id, row), row)
  return row
}

/** @throws TRANSFER_REFUSED when the database of the tenant's name is not its own */
export async function refuseUnlessMarked(
  { service }: TransferParts,
  { name, look }: Place,
  { id, certificate, incarnation }: Pick<RegistryRow, 'id' | 'certificate' | 'incarnation'>,
): Promise<void> {
  const found = await look(sql => inspectDatabase(sql, name))
  const mark = found.state === 'present' && found.ours ? parseMark(found.comment) : null
  if (mark && markFits(mark, { tenant: id, service, certificate, incarnation })) return
  throw new TransferRefused(
    found.state === 'absent'
      ? `The database ${name} of ${service} is not there: see \`distributed-tenant doctor\`.`
      : `The database ${name} of ${service} does not carry this tenant’s mark: is this the right server? See \`distributed-tenant doctor\`.`,
  )
}
