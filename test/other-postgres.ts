// PostgreSQL servers of other versions than this machine's, for tests: initdb and postgres come with npm packages
// that are pinned in test/postgres/package.json. They are copied to a folder that the server's own user may read,
// and their libraries get their links there, so no script of a package has to run. Invariant: null only on a
// platform that has none.
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export type OtherVersion = 14 | 17

const platform = `${process.platform}-${process.arch}`
/** The purpose of the packages. */
const DEMANDED = 'linux-x64'

/** @returns the folder with initdb and postgres; null on a platform for which there are none */
export function otherPostgres(t: Pick<Test, 'teardown'>, version: OtherVersion): string | null {
  const native = nativeOf(version)
  if (native === null) return null
  const folder = mkdtempSync(join(tmpdir(), `postgres-${version}-`))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o711)
  cpSync(native, folder, { recursive: true, verbatimSymlinks: true })
  const links = join(folder, 'pg-symlinks.json')
  const wanted = existsSync(links)
    ? (JSON.parse(readFileSync(links, 'utf8')) as { source: string; target: string }[])
    : []
  for (const { source, target } of wanted) {
    const path = join(folder, target.replace(/^native\//, ''))
    if (!existsSync(path)) symlinkSync(basename(source), path)
  }
  return join(folder, 'bin')
}

/** For a test that has no server to run on. */
export const noPostgres = (version: OtherVersion): string =>
  `there are no binaries of PostgreSQL ${version} for ${platform}, so nothing was tried on it`

/** @throws where the platform should have it: then it was not installed, and a skipped test would hide that */
function nativeOf(version: OtherVersion): string | null {
  const native = fileURLToPath(new URL(`../../node_modules/postgres-${version}/native`, import.meta.url))
  if (existsSync(native)) return native
  if (platform !== DEMANDED) return null
  throw new Error(`PostgreSQL ${version} is not in node_modules: run \`npm ci\`, with optional packages.`)
}
