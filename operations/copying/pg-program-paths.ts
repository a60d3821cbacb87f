// Owns where pg_dump and pg_restore are. Debian has a script on the PATH in their place, which looks for the newest installed
// version at every start and takes longer for it than a small database takes to dump: it is looked past, to what it would
// have started. Where nothing is found the name stays as it is, and starting it says what is missing.
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'

/** Where Debian's packages put the programs of each version. */
const VERSIONS = '/usr/lib/postgresql'
const SCRIPT = 'pg_wrapper'

export interface Whereabouts {
  readonly folder?: string | undefined
  /** PATH. */
  readonly path?: string | undefined
  readonly versions?: string
}

/** @returns what to start for a program: in the folder when one is given, else as PATH says */
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

/** As the script itself chooses when it is told a host. */
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
