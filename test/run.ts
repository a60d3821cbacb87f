// `npm test`: runs the compiled tests, more files at a time than there are processors, as files also wait: the files of
// `together` in one process for each lane, and each other file in a process of its own (test-process.ts). Prints a short report (report.ts), or with --tap the TAP as it is; the last line is N passed, N failed.
// Arguments are files, folders, --tap, --jobs=N, --times=FILE, which gets what each file took as JSON, and --together, with which all named files share
// processes; with other options all go to `tap run`. Exits 1 if anything failed or nothing passed, and 2 for one that is
// not there, before any test runs.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, normalize, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'
import { makeTemplate, readTemplate } from '../stack/servers/postgres-cluster.js'
import { FileResult } from './file-result.js'
import { runFolder } from './in-memory.js'
import { ProcessorTime } from './processor-time.js'
import { Report } from './report.js'
import { GUARD_S, type RunContext, runAlone, SharedProcess } from './test-process.js'

/** These begin first, the longest of all at the beginning, so that at the end no lane waits for another. */
const longest = [
  'faults/crash-points',
  'cli/backup',
  'plugins/distributed-tenant/provisioning/stream-cluster',
  'other-versions',
  'cli/import-kills',
  'cli/import-online',
  'bench/leak-hunt',
  'cli/move',
  'cli/upgrade',
  'cli/commands',
  'cli/import-hybrid',
  'services/identity/killed',
  'stack/main',
  'plugins/distributed-tenant/provisioning/model',
  'plugins/distributed-tenant/processes/rolling',
  'run',
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
  'postgres/pool/budget',
]

/** Folders of files that share processes, without those that must not: see `aloneMark`. */
const together = /^dist\/test\/(events|plugins|postgres|services\/http|timing)\//
/** Stands in the opening comment of a file that changes its process, or measures it. */
const aloneMark = 'In a process of its own'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tap = `${root}node_modules/tap/dist/esm/run.mjs`

const isTest = (argument: string) => /\.test\.js$/.test(argument)
const jobsOf = (argument: string) => Number(/^--jobs=([1-9]\d*)$/.exec(argument)?.[1])
const timesOf = (argument: string) => /^--times=(.+)$/.exec(argument)?.[1]
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
const files = [...new Set(named.length > 0 ? named.flatMap(testsOf) : findTests())]
  .map(path => ({ path, rank: rank(path), shares: shares(path) }))
  .sort((a, b) => a.rank - b.rank || Number(a.shares) - Number(b.shares) || (a.path < b.path ? -1 : 1))
const raw = options.includes('--tap')
const jobs = options.map(jobsOf).find(Boolean) ?? availableParallelism() + 1
const [timesFile] = options.flatMap(option => timesOf(option) ?? [])
/** Named from where the runner was started. */
const timesPath = timesFile === undefined ? null : resolve(timesFile)
const ours = (argument: string) => ['--tap', '--together'].includes(argument) || jobsOf(argument) || timesOf(argument)
const forTap = options.filter(argument => !ours(argument))

process.chdir(root)
buildRunner()
const folder = runFolder()
const env: NodeJS.ProcessEnv = {
  ...process.env,
  TMPDIR: folder.path,
  TAP_TIMEOUT: String(GUARD_S),
  // For services in processes of their own: a busy machine is not under test, services/overload.test.ts apart.
  MAX_EVENT_LOOP_DELAY: '0',
}
const running = new Set<ReturnType<typeof spawn>>()
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true
    for (const child of running) child.kill(signal)
  })
}
const report = new Report(files.length, !raw, timesPath)
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
  const context: RunContext = { env, raw, report, running, time: new ProcessorTime() }
  const stuck: string[] = []
  let ended = 0
  if (raw) process.stdout.write('TAP version 14\n')
  const lane = async () => {
    let shared: SharedProcess | null = null
    for (let file = queue.shift(); file !== undefined && !interrupted; file = queue.shift()) {
      const { path } = file
      if (file.shares && !shared?.alive) shared = new SharedProcess(context)
      const { ok, lines } =
        file.shares && shared ? await shared.run(path, source(path)) : await runAlone(path, source(path), context)
      ended++
      if (!raw) continue
      const text = lines.map(line => `    ${line}\n`).join('')
      process.stdout.write(`# Subtest: ${path}\n${text}${ok ? '' : 'not '}ok ${ended} - ${path}\n`)
    }
    const how = shared?.alive ? await shared.end() : null
    if (how !== null) stuck.push(how)
  }
  await Promise.all(Array.from({ length: jobs }, lane))
  if (raw) process.stdout.write(`1..${files.length}\n`)
  const [how] = stuck
  return report.finish(files.length - ended, how ? `after its last file, a process of several files was ${how}` : null)
}

/** @returns the exit code */
async function runTap(): Promise<number> {
  const child = spawn(
    process.execPath,
    [tap, 'run', '--reporter=tap', `--jobs=${jobs}`, ...forTap, ...files.map(({ path }) => path)],
    {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
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
  return report.finish(Math.max(0, files.length - ended), code === 0 ? null : `tap ended with exit code ${code}`)
}

function rank(file: string): number {
  const at = longest.findIndex(name => file.endsWith(`test/${name}.test.js`))
  return at < 0 ? longest.length : at
}

function shares(file: string): boolean {
  if (options.includes('--together')) return true
  if (!together.test(file)) return false
  const [opening = ''] = readFileSync(join(root, source(file)), 'utf8').split(/^(?!\/\/)/m)
  return !opening.includes(aloneMark)
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
