// `npm run chaos -- --tenants N --kills M`: kills everything at random under load and holds the ledger to it. Exit code 0
// nothing lost, 1 a violation or a failure, 2 usage. Ctrl-C ends every process and folder of it.
import { parseArgs } from 'node:util'
import { createProgress } from '../../bench/progress.js'
import { processWatch } from '../../stack/watch.js'
import { runChaos } from './chaos/run.js'
import type { ChaosVerdict } from './chaos/verdict.js'

const help = `Usage: npm run chaos -- [--tenants N] [--kills M] [--seed S] [--wipe-nats] [--json]

  --tenants N   tenants to make, change and delete (default 100)
  --kills M     SIGKILLs, to the services, a replica, NATS, Redis and each PostgreSQL (default 30)
  --seed S      of the random decisions (default 1)
  --wipe-nats   NATS comes back without what it had stored
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
        tenants: { type: 'string', default: '100' },
        kills: { type: 'string', default: '30' },
        seed: { type: 'string', default: '1' },
        'wipe-nats': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    usage((error as Error).message)
  }
}

function print(verdict: ChaosVerdict, json: boolean): void {
  const { kills, violations, deaths, failures, ...counts } = verdict
  const list = Object.entries(kills).map(([name, count]) => `${count} ${name}`)
  const lines = [
    ...Object.entries(counts).map(([key, value]) => `  ${key.padEnd(22)}${value ?? 'never'}`),
    `  ${'kills'.padEnd(22)}${list.join(', ')}`,
    `  ${'ended by themselves'.padEnd(22)}${deaths.length}`,
    `  ${'calls without answer'.padEnd(22)}${failures.length}`,
    ...violations.slice(0, 50).map(what => `  ! ${what}`),
    violations.length === 0 ? 'nothing lost, nothing stuck, nothing twice' : `VIOLATED: ${violations.length} findings`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'chaos', ...verdict })}\n`)
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
  const verdict = await runChaos({
    tenants: whole('tenants', values.tenants),
    kills: whole('kills', values.kills),
    seed: whole('seed', values.seed),
    wipeNats: values['wipe-nats'],
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
