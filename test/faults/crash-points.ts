// `npm run crash-points -- --repeats N`: every crash point in every service that publishes it, so many times. `npm
// test` runs each once. Exit code 0 all converged, 1 one did not, 2 usage. Ctrl-C ends every process and folder of
// it.
import { parseArgs } from 'node:util'
import { processWatch } from '../../stack/watch.js'
import { type Crash, runCrashPoints } from './crash-run.js'
import { startFaultyStack } from './faulty-stack.js'

const help = `Usage: npm run crash-points -- [--repeats N]

  --repeats N   how often each service dies at each step (default 1)
`

function readRepeats(): number {
  try {
    const { values } = parseArgs({ options: { repeats: { type: 'string', default: '1' } } })
    const repeats = Number(values.repeats)
    if (Number.isInteger(repeats) && repeats > 0) return repeats
    throw new Error(`--repeats is \`${values.repeats}\`: give a whole number above 0.`)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`)
    process.exit(2)
  }
}

const line = ({ service, step, action, ms }: Crash): string =>
  `${service.padEnd(9)} ${step.padEnd(28)} ${action.name.padEnd(14)} ${ms === null ? 'not published this time' : `${ms} ms`}`

async function main(): Promise<void> {
  const repeats = readRepeats()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      processWatch().endNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  const stack = await startFaultyStack()
  try {
    const { crashes, last } = await runCrashPoints(stack, {
      everyService: true,
      repeats,
      onCrash: crash => process.stdout.write(`${line(crash)}\n`),
    })
    const reached = crashes.filter(({ ms }) => ms !== null)
    const points = new Set(reached.map(({ step }) => step)).size
    const slowest = Math.max(...reached.map(({ ms }) => ms ?? 0))
    process.stdout.write(
      `${reached.length} crashes at ${points} points, all converged, slowest ${slowest} ms; ` +
        `${last.tenants} tenants, ${last.duplicateEffects.length} effects twice, ${last.duplicateDeliveries} messages stored twice\n`,
    )
    for (const effect of last.duplicateEffects) process.stdout.write(`${effect}\n`)
    if (last.duplicateEffects.length > 0) process.exitCode = 1
  } finally {
    await stack.stop()
  }
}

main().then(
  () => process.exit(),
  error => {
    processWatch().endNow()
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
    process.exit(1)
  },
)
