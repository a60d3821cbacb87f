// `npm run shutdown-hunt -- --rounds N`: the hunt from the command line. Exit code 0 nothing found, 1 a violation or a
// failure, 2 usage. Ctrl-C ends every process and folder of it.
import { parseArgs } from 'node:util'
import { processWatch } from '../stack/watch.js'
import { createProgress } from './progress.js'
import { huntShutdowns, type ShutdownVerdict } from './shutdown-hunt/run.js'

const help = `Usage: npm run shutdown-hunt -- [--rounds N] [--seed N] [--json]

  --rounds N  how often a service under load is told to leave (default 50)
  --seed N    when in each round (default 1)
  --json      ends with one line of JSON
`

function usage(why: string): never {
  process.stderr.write(`${why}\n\n${help}`)
  process.exit(2)
}

function whole(name: string, value: string): number {
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1) usage(`--${name} is \`${value}\`: give a whole number above 0.`)
  return number
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: 'string', default: '50' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    usage((error as Error).message)
  }
}

function print(found: ShutdownVerdict, json: boolean): void {
  const { violations, statuses, ...numbers } = found
  const lines = [
    ...Object.entries(numbers).map(([key, value]) => `  ${key.padEnd(16)}${Math.round(value)}`),
    `  ${'statuses'.padEnd(16)}${Object.entries(statuses).map(([status, count]) => `${count} x ${status}`)}`,
    ...violations.map(violation => `  ! ${violation}`),
    violations.length === 0 ? 'every one left as it should' : `VIOLATED ${violations.length} times`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'shutdown-hunt', ...found })}\n`)
}

async function main(): Promise<number> {
  const values = readOptions()
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      processWatch().endNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  const progress = createProgress()
  const found = await huntShutdowns({
    rounds: whole('rounds', values.rounds),
    seed: whole('seed', values.seed),
    progress,
  })
  progress.end()
  print(found, values.json)
  return found.violations.length === 0 ? 0 : 1
}

main().then(
  code => process.exit(code),
  error => {
    processWatch().endNow()
    process.stderr.write(`\n${error instanceof Error ? error.stack : error}\n`)
    process.exit(1)
  },
)
