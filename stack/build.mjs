// Builds dist/: TypeScript through tsc, then the SQL migrations copied beside the compiled code that runs them, and the console's
// page with its libraries. Exits with tsc's code; a failed build leaves the previous output untouched (noEmitOnError).
// With --page it makes the console's page alone.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'

const root = fileURLToPath(new URL('..', import.meta.url))
makePage()
if (process.argv.includes('--page')) process.exit()

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

/** The libraries are copied, so that users need no bundler and no package of theirs; their one import is made relative. */
function makePage() {
  const from = join(root, 'plugins/console/public')
  const to = join(root, 'dist/plugins/console/public')
  if (!existsSync(from)) return
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true })
  const vendor = join(to, 'vendor')
  mkdirSync(vendor)
  const library = (name, file, as) => {
    const text = readFileSync(join(root, 'node_modules', name, file), 'utf8')
    const plain = text.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '').replaceAll('from"preact"', 'from"./preact.js"')
    writeFileSync(join(vendor, as), plain)
  }
  library('preact', 'dist/preact.mjs', 'preact.js')
  library('preact', 'hooks/dist/hooks.mjs', 'hooks.js')
  library('htm', 'dist/htm.module.js', 'htm.js')
  library('uplot', 'dist/uPlot.iife.min.js', 'uplot.js')
  library('uplot', 'dist/uPlot.min.css', 'uplot.css')
  for (const name of ['preact', 'htm', 'uplot']) library(name, 'LICENSE', `${name}.LICENSE.txt`)
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = readFileSync(path)
    writeFileSync(`${path}.br`, brotliCompressSync(bytes))
    writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }))
  }
}
