// Owns how a library that is an optional peer is loaded: the copy of the application, of a version that this was tested with.
import { createRequire } from 'node:module'
import { ConfigurationInvalid } from '../plugins/distributed-tenant/index.js'

const require = createRequire(import.meta.url)

/** From this version on, below the next major one. */
export interface Supported {
  readonly major: number
  readonly minor: number
}

/** @throws CONFIGURATION_INVALID that names the supported range, when it is not installed or of another version */
export function requireSupported<T>(name: string, supported: Supported): T {
  const range = `${name}@^${supported.major}.${supported.minor}.0`
  let version: string
  try {
    version = (require(`${name}/package.json`) as { version: string }).version
  } catch (error) {
    throw new ConfigurationInvalid(`\`${name}\` cannot be loaded: install ${range}. ${(error as Error).message}`)
  }
  refuseOthers(name, version, supported)
  return require(name) as T
}

/** @throws CONFIGURATION_INVALID that names the supported range */
export function refuseOthers(name: string, version: string, { major, minor }: Supported): void {
  const [ofMajor, ofMinor] = version.split('.').map(Number)
  if (ofMajor === major && (ofMinor as number) >= minor) return
  throw new ConfigurationInvalid(
    `The installed \`${name}\` is ${version} and ^${major}.${minor}.0 is supported: install ${name}@^${major}.${minor}.0.`,
  )
}
