// `npm test`: the compiled tests, tap's output passed through, what failed once more, and one last line: N passed, N failed.
// Counts single tests (the subtests of a file); a file that fails without any, has none, or never ended counts as failed.
// Arguments are files; with options among them all go to `tap run`. Exits 1 if anything failed or nothing passed, and 2 for
// a file that is not there, before any test runs.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { folderInMemory } from './in-memory.js'
import { TapCount } from './tap-count.js'
import { TapFailures } from './tap-failures.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tap = `${root}node_modules/tap/dist/esm/run.mjs`

const wanted = process.argv.slice(2).map(compiled)
const isTest = (argument: string) => /\.test\.[jt]s$/.test(argument)
const missing = wanted.filter(argument => isTest(argument) && !existsSync(resolve(root, argument)))
if (missing.length > 0) {
  process.stderr.write(`There is no test ${missing.join(', ')}: name it as it stands in the repository.\n`)
  process.exit(2)
}
buildRunner()
const files = wanted.some(isTest) ? wanted.filter(isTest) : findTests()
const options = wanted.filter(argument => !isTest(argument))
const command =
  options.length > 0 ? [tap, 'run', '--reporter=tap', ...options, ...files] : [`${root}dist/test/suite.js`, ...files]
const folder = folderInMemory()
const count = new TapCount()
const failures = new TapFailures()
const read = (line: string) => {
  count.read(line)
  failures.read(line)
}
const env = { ...process.env, ...(folder && { TMPDIR: folder.path }) }
const child = spawn(process.execPath, command, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
// While tap ends its tests, we stay to count and report them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
let rest = ''
child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
  process.stdout.write(chunk)
  const lines = (rest + chunk).split('\n')
  rest = lines.pop() ?? ''
  for (const line of lines) read(line)
})
child.on('close', code => {
  folder?.remove()
  read(rest)
  const { passed, skipped } = count
  const silent = Math.max(0, new Set(files).size - count.files)
  // tap has seen something fail that no test line shows.
  const failed = count.failed + silent || (code === 0 ? 0 : 1)
  if (failures.lines.length > 0) process.stdout.write(`\nWhat failed:\n${failures.lines.join('\n')}\n\n`)
  if (silent > 0) process.stdout.write(`${silent} of ${files.length} files have not ended: each counts as failed\n`)
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
