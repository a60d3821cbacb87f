// `npm test`: runs the compiled tests, one process for each file, more at a time than there are processors, as files also
// wait. Prints a short report (report.ts), or with --tap the TAP as it is; the last line is N passed, N failed.
// Arguments are files, folders, --tap and --jobs=N; with other options all go to `tap run`. Exits 1 if anything failed or nothing
// passed, and 2 for one that is not there, before any test runs.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, normalize, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'
import { makeTemplate, readTemplate } from '../stack/servers/postgres-cluster.js'
import { FileResult, inSource } from './file-result.js'
import { runFolder } from './in-memory.js'
import { Report } from './report.js'

/** These begin first, the longest of all at the beginning, so that at the end no lane waits for another. */
const longest = [
  'faults/crash-points',
  'cli/backup',
  'cli/commands',
  'cli/import-kills',
  'bench/leak-hunt',
  'cli/move',
  'cli/import-hybrid',
  'services/identity/killed',
  'stack/main',
  'bench/shutdown-hunt',
  'services/lifecycle/feed',
  'attacks/secrets',
  'faults/nats-wiped',
  'plugins/distributed-tenant/provisioning/retry',
  'walk',
  'plugins/distributed-tenant/provisioning/stream-loss',
  'services/production',
  'cli/migrate-kills',
  'events/recovery',
  'plugins/distributed-tenant/connections/budget',
]

/** Seconds a file may take before it is ended: a guard of the runner, which promises nothing. */
const GUARD_S = 2_400
/** From the guard's SIGTERM, at which tap reports the running test, to SIGKILL. */
const LAST_WORDS_MS = 10_000

const root = fileURLToPath(new URL('../..', import.meta.url))
const tap = `${root}node_modules/tap/dist/esm/run.mjs`

const isTest = (argument: string) => /\.test\.js$/.test(argument)
const jobsOf = (argument: string) => Number(/^--jobs=([1-9]\d*)$/.exec(argument)?.[1])
const wanted = process.argv.slice(2)
const options = wanted.filter(argument => argument.startsWith('-'))
const named = wanted.filter(argument => !argument.startsWith('-'))
const missing = named.filter(argument => testsOf(argument).length === 0)
if (missing.length > 0) {
  process.stderr.write(
    `There is no test ${missing.join(', ')}: name a file or a folder as it stands in the repository.\n`,
  )
  process.exit(2)
}
const files = [...new Set(named.length > 0 ? named.flatMap(testsOf) : findTests())].sort(
  (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
)
const raw = options.includes('--tap')
const jobs = options.map(jobsOf).find(Boolean) ?? availableParallelism() + 1
const forTap = options.filter(argument => argument !== '--tap' && !jobsOf(argument))

process.chdir(root)
buildRunner()
const folder = runFolder()
const env: NodeJS.ProcessEnv = { ...process.env, TMPDIR: folder.path, TAP_TIMEOUT: String(GUARD_S) }
const running = new Set<ReturnType<typeof spawn>>()
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true
    for (const child of running) child.kill(signal)
  })
}
const report = new Report(files.length, !raw)
try {
  // A run inside a run, as a test of this file begins one, has a template already.
  if (readTemplate() === null) Object.assign(env, await makeTemplate(folder.path))
  process.exitCode = forTap.length > 0 ? await runTap() : await runFiles()
} finally {
  folder.remove()
}

/** @returns the exit code */
async function runFiles(): Promise<number> {
  const queue = [...files]
  let ended = 0
  if (raw) process.stdout.write('TAP version 14\n')
  const lane = async () => {
    for (let file = queue.shift(); file !== undefined && !interrupted; file = queue.shift()) {
      const { ok, lines } = await runFile(file)
      ended++
      if (!raw) continue
      const text = lines.map(line => `    ${line}\n`).join('')
      process.stdout.write(`# Subtest: ${file}\n${text}${ok ? '' : 'not '}ok ${ended} - ${file}\n`)
    }
  }
  await Promise.all(Array.from({ length: jobs }, lane))
  if (raw) process.stdout.write(`1..${files.length}\n`)
  return report.finish(files.length - ended)
}

/**
 * As `node <file>` does, without the loaders for mocks and coverage that `tap run` puts into each process: no test uses
 * them, and they take half as much processor time again.
 */
async function runFile(file: string): Promise<{ ok: boolean; lines: readonly string[] }> {
  const parser = new Parser()
  const result = new FileResult(source(file), parser)
  const lines: string[] = []
  report.begin(result)
  const child = spawn(process.execPath, [...(raw ? ['--enable-source-maps'] : []), file], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let late = false
  const guard = setTimeout(() => {
    late = true
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS).unref()
  }, GUARD_S * 1000)
  const reads = createInterface({ input: child.stdout }).on('line', line => {
    parser.write(`${line}\n`)
    if (raw) lines.push(line)
  })
  createInterface({ input: child.stderr }).on('line', line => {
    result.extra.push(inSource(line))
    if (raw) process.stderr.write(`${line}\n`)
  })
  const read = new Promise(resolve => reads.once('close', resolve))
  const how = await new Promise<string | null>(resolve => {
    child.once('error', error => resolve(`could not be started: ${error.message}`))
    child.once('close', (code, signal) => {
      const time = late ? ` after the guard's ${GUARD_S} s` : ''
      resolve(code === 0 ? null : `ended by ${signal ?? `exit code ${code}`}${time}`)
    })
  })
  await read
  clearTimeout(guard)
  running.delete(child)
  parser.end()
  report.end(result, how)
  return { ok: result.failed === 0, lines }
}

/** @returns the exit code */
async function runTap(): Promise<number> {
  const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', `--jobs=${jobs}`, ...forTap, ...files], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(child)
  const parser = new Parser()
  let open: FileResult | null = null
  let ended = 0
  parser.on('child', inner => {
    open = new FileResult(source(inner.name), inner)
    report.begin(open)
  })
  parser.on('assert', ({ ok, name }) => {
    const file = open ?? new FileResult(source(name), new Parser())
    open = null
    ended++
    report.end(file, ok ? null : 'failed')
  })
  child.stdout.on('data', chunk => {
    parser.write(chunk)
    if (raw) process.stdout.write(chunk)
  })
  const code = await new Promise(resolve => child.once('close', resolve))
  parser.end()
  return report.finish(Math.max(0, files.length - ended), code === 0 ? null : `ended with exit code ${code}`)
}

function rank(file: string): number {
  const at = longest.findIndex(name => file.endsWith(`test/${name}.test.js`))
  return at < 0 ? longest.length : at
}

function findTests(): string[] {
  const entries = readdirSync(`${root}dist/test`, { recursive: true, encoding: 'utf8' })
  const tests = entries.filter(name => name.endsWith('.test.js')).map(name => join('dist/test', name))
  // A compiled test without a source must not run.
  return tests.filter(name => existsSync(join(root, source(name))))
}

/** The name in the repository. */
function source(compiledName: string): string {
  return compiledName.replace(/^dist\/(test\/.*)\.js$/, '$1.ts')
}

/** The compiled tests of a file or folder as the repository names it, or of a compiled file itself. */
function testsOf(argument: string): string[] {
  const compiled = normalize(argument)
    .replace(/^(test(\/|$).*)/, 'dist/$1')
    .replace(/\.ts$/, '.js')
    .replace(/\/$/, '')
  if (isTest(compiled)) return existsSync(resolve(root, compiled)) ? [compiled] : []
  return findTests().filter(name => name.startsWith(`${compiled}/`))
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
