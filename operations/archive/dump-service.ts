// One service's part of an archive: its dump and the count of its contents from one snapshot, tried out before it counts as written.
// Invariants: nothing that a restore cannot bring back is written; what was written is restored from the disk, its definitions
// always, and its rows where only that shows whether they can be.

import { createHash } from 'node:crypto'
import { readDatabaseSettings } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { TransferFailed, TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import type { RegistryRow, ServiceName } from '../../plugins/distributed-tenant/types.js'
import { type Contents, contentsOf, differences, differencesText } from '../copying/compare-contents.js'
import { materializedViews, refreshViews, unrefreshedText } from '../copying/materialized-views.js'
import { notCopyable, rolesNamed, runsFunctions } from '../copying/not-copyable.js'
import type { TransferParts } from '../copying/parts.js'
import type { Programs } from '../copying/pg-programs.js'
import { rehearse } from '../copying/rehearsal.js'
import type { ShapeLine } from '../copying/schema-shape.js'
import type { TarParcel } from './archive-writer.js'
import type { Part } from './manifest.js'
import { inSnapshot, programsFor, type Snapshot } from './snapshot.js'
import type { Place } from './tenant-place.js'

export interface HowToDump {
  readonly programs: Programs
  /** Restores the rows too, and compares them. */
  readonly verify?: boolean
  /** Definitions that were tried out already, to be kept from one archive to the next: what they become in a copy. */
  readonly proven?: Map<string, readonly ShapeLine[]>
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes of the dump as they come. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

interface DumpOptions extends HowToDump {
  /** Null: a central database. */
  readonly row: RegistryRow | null
  /** Sentences are added to it. */
  readonly warnings: string[]
}

/** @throws TRANSFER_REFUSED when something in it cannot be restored; TRANSFER_FAILED */
export async function dumpService(
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
  if (wrong.length > 0) throw unrestorable(place, differencesText(wrong))
  proven?.set(key, copy.shape)
  return copy.shape
}

const withoutRows = 'materialized views that cannot be refreshed, and will be without rows after a restore:'

const unrestorable = ({ name }: Place, why: string): Error =>
  new TransferRefused(
    `What was dumped of ${name} cannot be restored as it was (${why}): correct it there, see docs/backup.md. Nothing was written.`,
  )

const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex')

const factsOf = ({ at, server, database, migrations }: Snapshot) => ({ at, server, database, migrations })
