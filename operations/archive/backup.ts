// The writer of backups: a tenant's databases of all services, or the services' central databases. Each service is one
// snapshot, which pg_dump and the counting of its contents share; between services there is none. Invariant: a database is
// taken only if it carries this tenant's mark, and an archive has its name only when all of it is there and was tried out:
// its definitions are restored from it, and its rows where only that shows whether they can be.

import { createHash } from 'node:crypto'
import { readDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { inspectDatabase } from '../../plugins/distributed-tenant/databases/databases.js'
import { markFits, parseMark } from '../../plugins/distributed-tenant/databases/marks.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { findTenant } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { QueryClient, RegistryRow, ServiceName, TenantId } from '../../plugins/distributed-tenant/types.js'
import { type Contents, contentsOf, differences } from '../copying/compare-contents.js'
import { materializedViews, refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import { notCopyable, rolesNamed, runsFunctions } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import { rehearse } from '../copying/rehearsal.js'
import type { ShapeLine } from '../copying/schema-shape.js'
import { createTar, type TarParcel } from './archive-writer.js'
import { FORMAT, FORMAT_VERSION, MANIFEST, type Manifest, manifestText, type Part, SUMS, sumsText } from './manifest.js'
import { inSnapshot, programsFor, type Snapshot } from './snapshot.js'
import { type Place, placeIn } from './tenant-place.js'

export interface BackupOptions {
  readonly services: readonly TransferParts[]
  readonly programs: Programs
  /** Of the package that writes. */
  readonly release: string
  /** The archive's file: it must not be there. */
  readonly to: string
  /** Restores the rows too, and compares them. */
  readonly verify?: boolean
  /** Definitions that were tried out already, to be kept from one archive to the next: what they become in a copy. */
  readonly proven?: Map<string, readonly ShapeLine[]>
  readonly signal?: AbortSignal | undefined
  /** Called with the dump's progress: the database's size when it began, and the bytes of the dump as they come. */
  readonly onBytes?: ((bytes: number) => void) | undefined
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
      services.push(await dump(parcel, parts, place, { ...options, row: mine, warnings }))
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
      services.push(await dump(parcel, parts, place, { ...options, row: null, warnings }))
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

interface DumpOptions extends BackupOptions {
  readonly row: RegistryRow | null
  readonly warnings: string[]
}

async function dump(
  parcel: TarParcel,
  { service, sets }: TransferParts,
  place: Place,
  options: DumpOptions,
): Promise<Part> {
  const { programs, signal, onBytes, row } = options
  const central = row === null
  const set = central ? 'registry' : (sets.at(-1)?.name ?? 'tenant')
  const { part, runs } = await inSnapshot(place, { database: place.name, set, signal }, async snapshot => {
    const program = await programsFor(programs, snapshot.server)
    // Sent together; the first that fails is the one to read.
    const [{ never }, views, settings, roles, runs] = await Promise.all([
      notCopyable(snapshot.tx),
      materializedViews(snapshot.tx),
      readDatabaseSettings(snapshot.tx, place.name),
      rolesNamed(snapshot.tx),
      runsFunctions(snapshot.tx),
    ])
    if (never.length > 0) {
      const all = never.map(({ what, cure }) => `has ${what}: ${cure}`).join('; and ')
      throw new TransferRefused(`${place.name} of ${service} ${all}. Nothing was written.`)
    }
    const counting = contentsOf(snapshot.tx)
    const writing = parcel.add(`${service}.dump`, take => {
      const what = { whole: true, publications: !central, views }
      const how = { snapshot: snapshot.id, format: 'custom', signal, ...what } as const
      return programs.dump(place.addressOf(place.name), how, async chunk => {
        await take(chunk)
        onBytes?.(chunk.length)
      })
    })
    // Both to their end: nothing reads or writes any more when one of them has failed.
    const [counted, written] = await Promise.allSettled([counting, writing])
    signal?.throwIfAborted()
    // A failed statement ends the transaction and its snapshot, which pg_dump may not have read yet: the count's is the cause.
    if (counted.status === 'rejected') throw counted.reason
    if (written.status === 'rejected') throw written.reason
    const { name: file, bytes, sha256 } = written.value
    const part: Part = {
      ...{ service, file, bytes, sha256, program, settings, roles, role: place.addressOf(place.name).user },
      registry: row && { version: row.version, revision: row.revision },
      views: views.filter(({ populated }) => populated).map(({ name }) => name),
      contents: counted.value,
      ...factsOf(snapshot),
    }
    return { part, runs }
  })
  const shape = await prove(parcel, part, place, { ...options, whole: runs || options.verify === true })
  return { ...part, contents: { ...part.contents, shape } }
}

/**
 * Restores what was written, from the disk, into a database that is dropped again.
 * @returns its definitions as a restore will find them: a server words expressions anew that it reads from a dump
 * @throws TRANSFER_REFUSED when it cannot be restored, or is another one then
 */
async function prove(
  parcel: TarParcel,
  part: Part,
  place: Place,
  { programs, proven, warnings, signal, row, whole }: DumpOptions & { readonly whole: boolean },
): Promise<readonly ShapeLine[]> {
  const { contents, database, file, settings = [], views = [] } = part
  const service = part.service as ServiceName
  const { host, port } = place.addressOf(place.name)
  const { encoding, collate, ctype, icuLocale } = database
  const key = digestOf([service, host, port, encoding, collate, ctype, icuLocale, contents.shape])
  const known = proven?.get(key)
  if (known && !whole) return known
  let copy: Contents
  try {
    copy = await rehearse(place, {
      service,
      like: database,
      hasPublic: contents.shape.some(({ kind, name }) => kind === 'schema' && name === 'public'),
      settings,
      fill: name => {
        const how = { whole: true, publications: row !== null, definitions: !whole, signal }
        return programs.restore(parcel.read(file), place.addressOf(name), how)
      },
      look: async inside => {
        const failed = whole ? await refreshViews(inside, views) : []
        if (failed.length > 0) warnings.push(`${service}: ${withoutRows} ${unrefreshedText(failed)}.`)
      },
    })
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof TransferFailed)) throw error
    throw unrestorable(place, error.message)
  }
  const without = new Set(row === null ? ['publication'] : [])
  const wrong = differences(contents, copy, { by: 'names', without, ...(!whole && { only: 'shape' }) })
  if (wrong.length > 0) throw unrestorable(place, wrong.slice(0, SHOWN).join('; '))
  proven?.set(key, copy.shape)
  return copy.shape
}

const SHOWN = 5
const withoutRows = 'materialized views that cannot be refreshed, and will be without rows after a restore:'

const unrestorable = ({ name }: Place, why: string): Error =>
  new TransferRefused(
    `What was dumped of ${name} cannot be restored as it was (${why}): correct it there, see docs/backup.md. Nothing was written.`,
  )

const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex')

const factsOf = ({ at, server, database, migrations }: Snapshot) => ({ at, server, database, migrations })
