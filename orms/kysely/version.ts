// The versions of Kysely that the dialect was tested with. Kysely does not export its package.json, and has no version to ask.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ConfigurationInvalid } from '../../plugins/distributed-tenant/index.js'

const SUPPORTED = '>=0.28.0 <0.30.0'

/** @throws CONFIGURATION_INVALID that names the supported range */
export function refuseOtherVersions(version = installedVersion()): void {
  const [major, minor = 0] = version.split('.').map(Number)
  if (major === 0 && (minor === 28 || minor === 29)) return
  throw new ConfigurationInvalid(
    `The installed \`kysely\` is ${version} and ${SUPPORTED} is supported: install kysely@0.29.`,
  )
}

export function installedVersion(): string {
  for (let at = new URL('.', import.meta.resolve('kysely')); ; at = new URL('..', at)) {
    const file = fileURLToPath(new URL('package.json', at))
    const { name, version } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
    if (name === 'kysely') return version
    if (at.pathname === '/') throw new ConfigurationInvalid('`kysely` has no package.json: install it anew.')
  }
}
