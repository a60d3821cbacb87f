// The files of schema migrations: plain SQL, read, numbered and checked before any of them runs. Invariant: a checksum is over the
// text with line feeds, so that a checkout with other line ends names the same content.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { NoText, textOf } from '../../files/text-file.js'
import { MigrationInvalid } from '../errors.js'
import { flawIn } from './migration-text.js'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly do: string
  /** Null when there is no undo file: rolling back is refused by name. */
  readonly undo: string | null
  /** Over the text with line feeds, whatever ends its lines in the file. */
  readonly checksum: string
  /** Checksums by which earlier releases may have recorded the same content. */
  readonly formerChecksums: readonly string[]
}

/** Whether a database with this recorded checksum has applied this content. */
export const isKnownAs = ({ checksum, formerChecksums }: Migration, recorded: string): boolean =>
  recorded === checksum || formerChecksums.includes(recorded)

/** A numbered series for one kind of database: `registry`, `central`, `mark`, `tenant`. */
export interface MigrationSet {
  readonly name: string
  readonly migrations: readonly Migration[]
  /** The newest version, 0 for an empty set. */
  readonly version: number
  /** Over all files: distinguishes two sets with one version and different content. */
  readonly checksum: string
}

const fileName = /^(\d{3,})\.(do|undo)\.([a-z0-9-]+)\.sql$/

/**
 * Reads `NNN.do.name.sql` and `NNN.undo.name.sql` from a folder; `null` gives an empty set.
 * @throws MIGRATION_INVALID for a missing folder, a file of another name, a repeated or missing number
 */
export function readMigrations(set: string, folder: string | null): MigrationSet {
  const found = new Map<number, Files>()
  for (const file of folder === null ? [] : list(folder)) {
    const [, digits, kind, name] = fileName.exec(file) ?? []
    if (!digits || !name) {
      throw new MigrationInvalid(
        `${file} in ${folder} is no migration: name it like 001.do.users.sql or 001.undo.users.sql.`,
      )
    }
    const version = Number(digits)
    const entry = found.get(version) ?? { name }
    if (entry.name !== name || entry[kind as 'do' | 'undo'] !== undefined) {
      throw new MigrationInvalid(`Migration ${digits} exists twice in ${folder}: give each a number of its own.`)
    }
    entry[kind as 'do' | 'undo'] = readMigration(folder as string, file)
    found.set(version, entry)
  }
  const migrations = [...found].sort(([a], [b]) => a - b).map(([version, entry]) => complete(version, entry, folder))
  migrations.forEach((migration, at) => {
    if (migration.version !== at + 1) {
      throw new MigrationInvalid(`Migration ${at + 1} is missing in ${folder}: number them 001, 002, … without a gap.`)
    }
  })
  return {
    name: set,
    migrations,
    version: migrations.length,
    checksum: digest(migrations.map(migration => migration.checksum).join()),
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).filter(file => file.endsWith('.sql'))
  } catch (error) {
    throw new MigrationInvalid(
      `The migrations folder ${folder} cannot be read (${(error as NodeJS.ErrnoException).code}): check the path.`,
    )
  }
}

interface Files {
  readonly name: string
  do?: string
  undo?: string
}

/** @returns its text as it was written, without a byte order mark */
function readMigration(folder: string, file: string): string {
  const bytes = readFileSync(join(folder, file))
  const refuse = (what: string): never => {
    // The checksum that earlier releases computed and recorded, if they applied it.
    const former = digest(bytes.toString('utf8'))
    throw new MigrationInvalid(
      `${file} in ${folder} ${what}. Where it was applied as it is, add the line "-- applied as: ${former}" to the corrected file.`,
    )
  }
  let text: string
  try {
    text = textOf(bytes)
  } catch (error) {
    if (error instanceof NoText) return refuse(error.message)
    throw error
  }
  const flaw = flawIn(text)
  return flaw ? refuse(`has ${flaw.what} in line ${flaw.line}: ${flaw.cure}`) : text
}

/** A corrected file names the checksum that it was applied with. */
const APPLIED_AS = /^-- applied as: ([0-9a-f]{32})\r?$/gm

function complete(version: number, entry: Files, folder: string | null): Migration {
  if (entry.do === undefined) {
    throw new MigrationInvalid(`Migration ${version} in ${folder} has an undo file but no do file: add it.`)
  }
  const text = withLineFeeds(entry.do)
  return {
    version,
    name: entry.name,
    do: text,
    undo: entry.undo === undefined ? null : withLineFeeds(entry.undo),
    checksum: digest(text),
    formerChecksums: [
      digest(entry.do),
      digest(text.replaceAll('\n', '\r\n')),
      ...[...entry.do.matchAll(APPLIED_AS)].map(([, checksum]) => checksum as string),
    ],
  }
}

/** A checkout may write line ends as its system does: the databases must be the same. */
const withLineFeeds = (text: string): string => text.replaceAll('\r\n', '\n')

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** The checksums of these sets: names the content of a database with all of them applied, and nothing beyond them. */
export const builtBy = (sets: readonly MigrationSet[]): string => sets.map(({ checksum }) => checksum).join(' ')
