// `npm test`: tap over the compiled tests, its output passed through, and one line at the end: N passed, N failed.
// Counts single tests (the subtests of a file); a file that fails without any counts as one. Arguments go to tap.
// Exits 1 if anything failed or nothing passed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TapCount } from './tap-count.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tap = `${root}node_modules/tap/dist/esm/run.mjs`

buildRunner()
const wanted = process.argv.slice(2)
const hasFile = wanted.some(argument => /\.test\.[jt]s$/.test(argument))
const files = hasFile ? [] : findTests()
const count = new TapCount()
const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', ...wanted.map(compiled), ...files], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
})
// While tap ends its tests, we stay to count and report them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
let rest = ''
child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
  process.stdout.write(chunk)
  const lines = (rest + chunk).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) count.read(line)
})
child.on('close', code => {
  count.read(rest)
  const { passed, skipped } = count
  // tap has seen something fail that no test line shows.
  const failed = count.failed || (code === 0 ? 0 : 1)
  process.stdout.write(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}\n`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
})

function findTests(): string[] {
  const entries = readdirSync(`${root}dist/test`, { recursive: true, encoding: 'utf8' })
  // A compiled test whose source is gone must not run on.
  const tests = entries.filter(name => name.endsWith('.test.js') && existsSync(join(root, 'test', source(name))))
  return tests.sort().map(name => join('dist/test', name))
}

function source(compiledName: string): string {
  return compiledName.replace(/\.js$/, '.ts')
}

/** `test/a.test.ts` as it is named in the repository, or the compiled file itself. */
function compiled(argument: string): string {
  return argument.replace(/^(?:\.\/)?(test\/.*\.test)\.ts$/, 'dist/$1.js')
}

/** After npm ci, tap has its default plugins built in, TypeScript among them, and its first run fails. */
function buildRunner(): void {
  const stamp = `${root}node_modules/.tap-built`
  const installed = `${root}node_modules/.package-lock.json`
  const state = `${existsSync(installed) ? readFileSync(installed, 'utf8').length : 0} ${readFileSync(`${root}.taprc`)}`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return
  const { status } = spawnSync(process.execPath, [tap, 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) {
    process.stderr.write('`npx tap build` failed: see above. `npm run setup` installs everything anew.\n')
    process.exit(1)
  }
  writeFileSync(stamp, state)
}
