// `npm run leak-hunt -- --requests N`: the hunt from the command line. Exit code 0 nothing found, 1 a violation or a
// failure, 2 usage. Ctrl-C ends every process and folder of it.
import { parseArgs } from 'node:util'
import { processWatch } from '../stack/watch.js'
import { huntLeaks } from './leak-hunt/run.js'
import type { HuntVerdict } from './leak-hunt/verdict.js'
import { createProgress } from './progress.js'

const help = `Usage: npm run leak-hunt -- [--requests N] [--tenants N] [--restarts N] [--json]

  --requests N  requests to send (default 100000)
  --tenants N   tenant databases, each with a secret of its own (default 100)
  --restarts N  times that PostgreSQL is killed and started again meanwhile (default 0)
  --json        ends with one line of JSON
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
        requests: { type: 'string', default: '100000' },
        tenants: { type: 'string', default: '100' },
        restarts: { type: 'string', default: '0' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    usage((error as Error).message)
  }
}

function print(verdict: HuntVerdict, json: boolean): void {
  const { sent, allowed, examples, violations, memory, death: _, ...counts } = verdict
  const list = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([key, count]) => `${count} ${key}`)
      .join(', ') || 'none'
  const lines = [
    ...Object.entries(counts).map(([key, value]) => `  ${key.padEnd(24)}${Math.round(value as number)}`),
    `  ${'memory'.padEnd(24)}${memory.middle.toFixed(0)} MiB, then ${memory.last.toFixed(0)} MiB; ${memory.slope.toFixed(2)} MiB per 10,000 requests`,
    `  ${'sent'.padEnd(24)}${list(sent)}`,
    `  ${'refused as they may be'.padEnd(24)}${list(allowed)}`,
    ...examples.map(example => `  ! ${example}`),
    violations.length === 0 ? 'nothing leaked' : `VIOLATED: ${violations.join('; ')}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'leak-hunt', ...verdict })}\n`)
}

async function main(): Promise<void> {
  const values = readOptions()
  if (values.help) {
    process.stdout.write(help)
    return
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      processWatch().endNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  const progress = createProgress()
  const verdict = await huntLeaks({
    requests: whole('requests', values.requests),
    tenants: whole('tenants', values.tenants),
    restarts: values.restarts === '0' ? 0 : whole('restarts', values.restarts),
    progress,
  })
  progress.end()
  print(verdict, values.json)
  if (verdict.violations.length > 0) process.exitCode = 1
}

main().then(
  () => process.exit(),
  error => {
    processWatch().endNow()
    process.stderr.write(`\n${error instanceof Error ? error.stack : error}\n`)
    process.exit(1)
  },
)
