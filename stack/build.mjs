// Builds dist/: TypeScript through tsc, then the SQL migrations copied beside the compiled code that runs them.
// Exits with tsc's code; a failed build leaves the previous output untouched (noEmitOnError).
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root], {
  stdio: 'inherit',
})
if (tsc.status !== 0) process.exit(tsc.status ?? 1)

for (const top of ['plugins', 'services', 'examples'].filter(top => existsSync(join(root, top)))) {
  for (const entry of readdirSync(join(root, top), { recursive: true, withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name !== 'migrations') continue
    const from = join(entry.parentPath, entry.name)
    const to = join(root, 'dist', from.slice(root.length))
    if (existsSync(to)) rmSync(to, { recursive: true })
    cpSync(from, to, { recursive: true })
  }
}
