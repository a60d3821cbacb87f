// The application's own copy of Kysely, in the version that was tested. Kysely does not export its package.json, and has no
// version to ask.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ConfigurationInvalid, refusePeer } from '../../plugins/distributed-tenant/index.js'

export const SUPPORTED = '>=0.28.0 <0.30.0'

/** @throws CONFIGURATION_INVALID that names the supported range */
export function refuseOtherVersions(version: string | null): void {
  const [major, minor = 0] = (version ?? '').split('.').map(Number)
  if (major === 0 && (minor === 28 || minor === 29)) return
  refusePeer('kysely', version, SUPPORTED, '0.29')
}

/** The module that the application imports, which has other classes than the one for `require`; null without Kysely. */
function entry(): string | null {
  try {
    return import.meta.resolve('kysely')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return null
    throw error
  }
}

/** Null when it is not installed. */
export function installedVersion(from = entry()): string | null {
  if (from === null) return null
  for (let at = new URL('.', from); ; at = new URL('..', at)) {
    const file = fileURLToPath(new URL('package.json', at))
    const { name, version } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
    if (name === 'kysely') return version
    if (at.pathname === '/') throw new ConfigurationInvalid('`kysely` has no package.json: install it anew.')
  }
}

function load(): typeof import('kysely') {
  const from = entry()
  refuseOtherVersions(installedVersion(from))
  return createRequire(import.meta.url)(fileURLToPath(from as string)) as typeof import('kysely')
}

export const { PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } = load()
