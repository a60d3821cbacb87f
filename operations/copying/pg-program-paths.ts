// The paths of pg_dump and pg_restore. Debian has a script on the PATH in their place, which looks for the newest installed
// version at every start and takes longer for it than a small database takes to dump: it is bypassed, in favour of the program
// that it would have started. Where none is found the name stays as it is, and starting it reports what is missing.
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'

/** Where Debian's packages put the programs of each version. */
const VERSIONS = '/usr/lib/postgresql'
const SCRIPT = 'pg_wrapper'

export interface Whereabouts {
  readonly folder?: string | undefined
  /** PATH. */
  readonly path?: string | undefined
  readonly versions?: string | undefined
}

/** @returns the path of a program: in the folder when one is given, else as PATH has it */
export function programPath(name: string, { folder, path = '', versions = VERSIONS }: Whereabouts): string {
  if (folder) return join(folder, name)
  const first = path
    .split(delimiter)
    .filter(one => one !== '')
    .map(one => join(one, name))
    .find(isProgram)
  if (first === undefined || basename(realpathSync(first)) !== SCRIPT) return name
  return newest(name, versions) ?? name
}

/** @returns the folder of one version's programs; null when they are not installed there */
export function ownFolder(major: number, versions = VERSIONS): string | null {
  const folder = join(versions, String(major), 'bin')
  return ['pg_dump', 'pg_restore'].every(name => isProgram(join(folder, name))) ? folder : null
}

/** As the script itself chooses when it gets a host. */
function newest(name: string, versions: string): string | undefined {
  return numbered(versions)
    .map(version => join(versions, version, 'bin', name))
    .find(isProgram)
}

function numbered(versions: string): string[] {
  try {
    return readdirSync(versions)
      .filter(version => /^\d+(\.\d+)?$/.test(version))
      .sort((a, b) => Number(b) - Number(a))
  } catch {
    return []
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
