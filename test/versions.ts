// `npm run versions -- FOLDER...`: the tests that touch a server, once for each folder of programs, which stand before the
// machine's own. Prints what was run against which versions. Exit code 0 all passed, 1 a test failed, 2 usage.
// Ctrl-C ends the run and what it has started.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { delimiter, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findServers, isProgram } from '../stack/servers/find.js'

const help = `Usage: npm run versions -- [--only TEXT] [--json] [FOLDER...]

  FOLDER       holds programs of other versions, any of: postgres with initdb, nats-server, redis-server, pgbouncer, node.
               What it does not hold is the machine's own. Without a folder: the machine's own versions.
  --only TEXT  only test files whose path holds this text
  --json       one line of JSON for each folder
`

/** A tenant's road through the services, and each part lost and back. */
const files = [
  'test/walk.test.ts',
  'test/cli/import-online.test.ts',
  'test/events/recovery.test.ts',
  'test/faults/nats-wiped.test.ts',
  'test/operations/move/versions.test.ts',
  'test/plugins/distributed-tenant/connections/pooler-users.test.ts',
  'test/plugins/distributed-tenant/connections/pooler.test.ts',
  'test/postgres/pool/reset.test.ts',
  'test/plugins/distributed-tenant/directory/directory.test.ts',
  'test/plugins/distributed-tenant/directory/unfit-redis.test.ts',
  'test/postgres/pool/sharing.test.ts',
  'test/plugins/distributed-tenant/provisioning/stream-loss.test.ts',
  'test/postgres/sql/outage.test.ts',
  'test/services/redis.test.ts',
]

interface Outcome {
  readonly folder: string | null
  readonly versions: Readonly<Record<string, string>>
  readonly files: number
  readonly passed: number
  readonly failed: number
  readonly failures: readonly string[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))
let child: ChildProcess | null = null
let interrupted = false

function usage(message: string): never {
  process.stderr.write(`${message}\n\n${help}`)
  process.exit(2)
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { only: { type: 'string', default: '' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
    })
  } catch (error) {
    return usage((error as Error).message)
  }
}

const versionOf = (program: string): string =>
  /\d+(\.\d+)+/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown'

/** Runs the files with the programs of a folder first; `line` is called with each line of the report. */
async function run(folder: string | null, chosen: readonly string[], line: (text: string) => void): Promise<Outcome> {
  const path = folder === null ? process.env.PATH : [folder, process.env.PATH].join(delimiter)
  const env = { ...process.env, PATH: path }
  const own = folder === null ? '' : join(folder, 'node')
  const node = isProgram(own) ? own : process.execPath
  const { postgres, nats, redis, pgbouncer } = findServers(env)
  const programs = {
    node,
    postgres: join(postgres.bin, 'postgres'),
    nats,
    redis,
    ...(pgbouncer !== undefined && { pgbouncer }),
  }
  const versions = Object.fromEntries(Object.entries(programs).map(([name, program]) => [name, versionOf(program)]))
  line(Object.entries(versions).flat().join(' '))
  const started = spawn(node, [join(root, 'dist/test/run.js'), ...chosen], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child = started
  const lines: string[] = []
  for await (const text of createInterface({ input: started.stdout })) {
    lines.push(text)
    line(text)
  }
  const [, passed = '0', failed = '0'] = /^(\d+) passed, (\d+) failed/.exec(lines.at(-1) ?? '') ?? []
  const failures = lines.flatMap(text => /\/\d+ FAILED\s+\S+ s\s+(\S+)/.exec(text)?.[1] ?? [])
  return { folder, versions, files: chosen.length, passed: Number(passed), failed: Number(failed), failures }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments()
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const folders = positionals.map(folder => resolve(folder))
  const empty = folders.find(
    folder =>
      !['postgres', 'nats-server', 'redis-server', 'pgbouncer', 'node'].some(name => isProgram(join(folder, name))),
  )
  if (empty) usage(`${empty} holds none of the programs.`)
  const chosen = files.filter(file => file.includes(values.only))
  if (chosen.length === 0) usage(`No test file of this command holds \`${values.only}\`: ${files.join(', ')}.`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      interrupted = true
      child?.kill(signal)
    })
  }
  const outcomes: Outcome[] = []
  for (const folder of folders.length > 0 ? folders : [null]) {
    if (interrupted) break
    const outcome = await run(folder, chosen, text =>
      (values.json ? process.stderr : process.stdout).write(`${text}\n`),
    )
    outcomes.push(outcome)
    if (values.json) process.stdout.write(`${JSON.stringify(outcome)}\n`)
  }
  if (!values.json) {
    for (const { folder, versions, passed, failed, failures } of outcomes) {
      const what = Object.entries(versions).flat().join(' ')
      process.stdout.write(
        `${folder ?? 'this machine'}: ${what}: ${[`${passed} passed, ${failed} failed`, ...failures].join(', ')}\n`,
      )
    }
  }
  if (interrupted) process.exitCode = 130
  else if (outcomes.some(({ passed, failed }) => failed > 0 || passed === 0)) process.exitCode = 1
}

main().catch(error => {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
})
