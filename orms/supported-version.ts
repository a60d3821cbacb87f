// Owns how a library that is an optional peer is loaded: the copy of the application, of a version that this was tested with.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ConfigurationInvalid } from '../plugins/distributed-tenant/index.js'

const require = createRequire(import.meta.url)

/** From this version on, below the next major one. */
export interface Supported {
  readonly major: number
  readonly minor: number
}

/** @throws CONFIGURATION_INVALID that names the supported range, when it is not installed or of another version */
export function requireSupported<T>(name: string, supported: Supported): T {
  refuseOthers(name, installedVersion(name), supported)
  return require(name) as T
}

/** Null when it is not installed. Not every library lets its package.json be imported. */
export function installedVersion(name: string): string | null {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return (JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as { version: string }).version
    } catch (error) {
      if (!/^(ENOENT|ENOTDIR)$/.test(String((error as NodeJS.ErrnoException).code))) throw error
    }
  }
  return null
}

/** @throws CONFIGURATION_INVALID that names the supported range */
export function refuseOthers(name: string, version: string | null, { major, minor }: Supported): void {
  const [ofMajor, ofMinor] = (version ?? '').split('.').map(Number)
  if (ofMajor === major && (ofMinor as number) >= minor) return
  const range = `^${major}.${minor}.0`
  throw new ConfigurationInvalid(
    version === null
      ? `\`${name}\` is not installed and ${range} is supported: install ${name}@${range}.`
      : `The installed \`${name}\` is ${version} and ${range} is supported: install ${name}@${range}.`,
  )
}
