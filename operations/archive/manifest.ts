// The manifest of an archive: the tenant, and for each service the parts, their time, their versions, and the contents that
// must exist again after a restore. Invariant: a manifest that was read has the shape and the names of a written one, so that
// nothing of it can reach SQL or a path unchecked.
import type { Static } from 'typebox'
import { compileValidator, TENANT_ID_MAX, TENANT_ID_PATTERN } from '../../events/index.js'
import { Type } from '../../events/json-schema.js'
import type { DatabaseSetting } from '../../plugins/distributed-tenant/databases/database-settings.js'
import { ArchiveInvalid } from '../../plugins/distributed-tenant/errors.js'
import type { Contents as DatabaseContents } from '../copying/compare-contents.js'

export const FORMAT = 'distributed-tenant-backup'
/** 1: without rights, settings and our own schema, and compared by rows alone. */
export const FORMAT_VERSION = 2
export const MANIFEST = 'manifest.json'
/** As `sha256sum -c` reads it; the last entry. */
export const SUMS = 'SHA256SUMS'

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$', maxLength: 64 })
const Instant = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$', maxLength: 35 })
const Text = Type.String()

const Contents = Type.Object({
  serverMajor: Count,
  probe: Text,
  tables: Type.Array(Type.Object({ name: Text, rows: Count, checksum: Text })),
  sequences: Type.Array(Type.Object({ name: Text, state: Text })),
  shape: Type.Array(Type.Object({ kind: Text, name: Text, definition: Text })),
})

const Part = Type.Object({
  service: Type.String({ pattern: '^[a-z][a-z0-9]{0,14}$', maxLength: 15 }),
  /** Its name in the archive. */
  file: Type.String({ pattern: '^[a-z][a-z0-9]{0,14}\\.dump$', maxLength: 20 }),
  bytes: Count,
  sha256: Sha256,
  /** When the one snapshot was that all of it comes from. */
  at: Instant,
  server: Type.Object({ major: Count, version: Text }),
  /** Of pg_dump: a pg_restore that is older cannot read it. */
  program: Count,
  database: Type.Object({
    name: Text,
    bytes: Count,
    encoding: Text,
    collate: Text,
    ctype: Text,
    /** Of ICU; null for the C library's. */
    icuLocale: Type.Union([Type.Null(), Text]),
  }),
  /** Of the service's own migrations: what was applied. */
  migrations: Type.Array(Type.Object({ version: Count, name: Text, checksum: Text })),
  /** The registry's row: identity's version, and this service's count of changes. */
  registry: Type.Union([Type.Null(), Type.Object({ version: Count, revision: Count })]),
  /** The server's settings for the database, which no dump holds. */
  settings: Type.Optional(Type.Array(Type.Object({ role: Type.Union([Type.Null(), Text]), name: Text, value: Text }))),
  /** The service's role that owned all of it. */
  role: Type.Optional(Text),
  /** Other roles that rights, policies and settings name: they must be there before it is restored. */
  roles: Type.Optional(Type.Array(Text)),
  /** Materialized views that had rows, which are made anew. */
  views: Type.Optional(Type.Array(Text)),
  contents: Contents,
})

const Manifest = Type.Object({
  format: Type.Literal(FORMAT),
  formatVersion: Type.Union([Type.Literal(1), Type.Literal(FORMAT_VERSION)]),
  kind: Type.Union([Type.Literal('tenant'), Type.Literal('central')]),
  createdAt: Instant,
  /** The package that wrote it. */
  release: Text,
  /** Null for the central databases. */
  tenant: Type.Union([
    Type.Null(),
    Type.Object({
      id: Type.String({ pattern: TENANT_ID_PATTERN, maxLength: TENANT_ID_MAX }),
      name: Type.String({ minLength: 1 }),
      domain: Type.Union([Type.Null(), Text]),
      settings: Type.Record(Type.String(), Type.Unknown()),
      lifecycle: Type.Union([Type.Literal('active'), Type.Literal('suspended'), Type.Literal('deleted')]),
      version: Count,
    }),
  ]),
  services: Type.Array(Part, { minItems: 1 }),
})

export type Part = Readonly<
  Omit<Static<typeof Part>, 'migrations' | 'contents' | 'settings' | 'role' | 'roles' | 'views'>
> & {
  readonly role?: string
  readonly settings?: readonly DatabaseSetting[]
  readonly roles?: readonly string[]
  readonly views?: readonly string[]
  readonly migrations: readonly { readonly version: number; readonly name: string; readonly checksum: string }[]
  readonly contents: DatabaseContents
}
export type Manifest = Readonly<Omit<Static<typeof Manifest>, 'services'>> & { readonly services: readonly Part[] }

const shape = compileValidator(Manifest)

export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 1)}\n`

/** Every file of the archive but this one. */
export const sumsText = (files: readonly { name: string; sha256: string }[]): string =>
  files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('')

/** @throws ARCHIVE_INVALID */
export function parseManifest(text: string, path: string): Manifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ArchiveInvalid(path, 'its manifest is no JSON')
  }
  const { format, formatVersion } = (value ?? {}) as { format?: unknown; formatVersion?: unknown }
  if (format !== FORMAT) throw new ArchiveInvalid(path, 'it is no archive of ours')
  if (formatVersion !== 1 && formatVersion !== FORMAT_VERSION) {
    throw new ArchiveInvalid(
      path,
      `it has format version ${Number(formatVersion)}, and this release reads 1 and ${FORMAT_VERSION}`,
    )
  }
  if (!shape.Check(value)) {
    const [first] = shape.Errors(value)
    throw new ArchiveInvalid(path, `its manifest is wrong at ${first?.instancePath || 'the top'}`)
  }
  if (formatVersion !== 1 && value.services.some(one => !one.settings || !one.roles || !one.views)) {
    throw new ArchiveInvalid(path, 'its manifest is not whole')
  }
  const names = value.services.map(({ service }) => service)
  const strange = value.services.find(({ service, file }) => file !== `${service}.dump`)
  if (strange || new Set(names).size < names.length || (value.kind === 'tenant') !== (value.tenant !== null)) {
    throw new ArchiveInvalid(path, 'its manifest contradicts itself')
  }
  return value as unknown as Manifest
}
