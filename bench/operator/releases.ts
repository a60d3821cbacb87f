// Releases of the bench service, each with one small migration more than the one before, so that there is something to
// migrate in every round.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const twenty = fileURLToPath(new URL('../../../bench/migrations/twenty', import.meta.url))

/** @returns the folder of the next release's migrations, at each call */
export function releases(folder: string): () => string {
  const path = join(folder, 'release')
  mkdirSync(path)
  cpSync(twenty, path, { recursive: true })
  let version = 1
  return () => {
    const number = String(++version).padStart(3, '0')
    writeFileSync(join(path, `${number}.do.small.sql`), `alter table bench_01 add column small_${number} integer;\n`)
    return path
  }
}
