// Owns how an optional peer is loaded: the application's own copy, of a version that this was tested with.
// Only the entry that needs a peer loads it, by `require`: an `import` of a missing package fails before a line here runs.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ConfigurationInvalid } from './errors.js'

const require = createRequire(import.meta.url)

/** From this version on, below the next major one; of several, each. As in `peerDependencies`, which a test holds it to. */
export interface Supported {
  readonly major: number
  readonly minor: number
}

/**
 * The peers that are loaded here. Prisma's are loaded by its own client too.
 * A package that cannot be found is reported with the line that installs it.
 */
export const optionalPeers = {
  '@fastify/jwt': [{ major: 10, minor: 2 }],
  '@fastify/sse': [{ major: 0, minor: 6 }],
  '@fastify/static': [{ major: 10, minor: 1 }],
  '@fastify/swagger': [{ major: 9, minor: 9 }],
  '@fastify/swagger-ui': [{ major: 6, minor: 1 }],
  '@opentelemetry/api': [{ major: 1, minor: 9 }],
  '@prisma/adapter-pg': [{ major: 7, minor: 10 }],
  '@prisma/client': [{ major: 7, minor: 10 }],
  ioredis: [
    { major: 5, minor: 4 },
    { major: 6, minor: 0 },
  ],
  // Earlier ones do not export TypeOverrides.
  pg: [{ major: 8, minor: 16 }],
  'prom-client': [{ major: 15, minor: 1 }],
} as const satisfies Record<string, readonly Supported[]>

export type OptionalPeer = keyof typeof optionalPeers

/** @throws CONFIGURATION_INVALID that names the supported range, when it is not installed or of another version */
export function requirePeer<T>(name: OptionalPeer): T {
  refuseOthers(name, installedVersion(name))
  return require(name) as T
}

/** Null when it is not installed. Not every library lets its package.json be imported. */
export function installedVersion(name: OptionalPeer): string | null {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return (JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as { version: string }).version
    } catch (error) {
      if (!/^(ENOENT|ENOTDIR)$/.test(String((error as NodeJS.ErrnoException).code))) throw error
    }
  }
  return null
}

/** @throws CONFIGURATION_INVALID that names the supported range and the line that installs it */
export function refuseOthers(name: OptionalPeer, version: string | null): void {
  const [ofMajor, ofMinor] = (version ?? '').split('.').map(Number)
  const supported: readonly Supported[] = optionalPeers[name]
  const fits = ({ major, minor }: Supported): boolean =>
    ofMajor === major && (major === 0 ? ofMinor === minor : (ofMinor as number) >= minor)
  if (supported.some(fits)) return
  const range = supported.map(({ major, minor }) => `^${major}.${minor}.0`).join(' || ')
  refusePeer(name, version, range, String(supported.at(-1)?.major))
}

/** @throws CONFIGURATION_INVALID, always */
export function refusePeer(name: string, version: string | null, range: string, install: string): never {
  const found = version === null ? `\`${name}\` is not installed` : `The installed \`${name}\` is ${version}`
  throw new ConfigurationInvalid(`${found} and ${range} is supported: run \`npm install ${name}@${install}\`.`)
}
