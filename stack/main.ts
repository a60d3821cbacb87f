// `npm start`: the stack in the foreground. Owns the options, the lock, the signals and the exit code: 0 when asked to
// stop, 1 when a start failed, 128 and the signal's number when that interrupted a start. A second signal ends everything at
// once, and still leaves nothing. A service that ends on its own is reported, and the others go on: their behaviour then is of
// interest to a user.
import { constants } from 'node:os'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { commands, obey } from './commands.js'
import { notifyLauncher, takeLock } from './lock.js'
import { defaultPorts, type PerService, perEach, serviceNames } from './names.js'
import { nextSteps } from './next-steps.js'
import { serviceOutput } from './output.js'
import { type OwnService, readOwnServices } from './own-service.js'
import { onNpmGone } from './parent.js'
import { checkPorts } from './servers/ports.js'
import { type RunningStack, startStack } from './stack.js'
import { readStackFile, removeStackFile } from './stack-file.js'
import { processWatch } from './watch.js'

const help = `Usage: npm start -- [--ports <first>] [--service <folder>]...
       npm run stack -- stop|start <service>

Starts one PostgreSQL instance per service, NATS with JetStream and Redis on temporary data, then the three services,
and takes everything down on Ctrl-C.

  --ports <first>     ports of the services: <first>, +1, +2, … (default ${defaultPorts.identity}); 0 takes free ones
  --service <folder>  a service of your own beside the three, built, in a folder with a package.json: it gets a PostgreSQL
                      instance, a NATS user, a role and a central database, and tenants are ready once it has them too
  --help              this text

While it runs, \`npm run stack -- stop employee\` stops one service and \`start employee\` starts it again.

With IDENTITY_DB_HOST, EMPLOYEE_DB_HOST, CORE_DB_HOST, NATS_URL and REDIS_URL all set, no server is started and these are
used, with DB_USERNAME and DB_PASSWORD as the superuser of the three PostgreSQL instances.
`

const root = fileURLToPath(new URL('../..', import.meta.url))
// For tests, which start more than one and not in the checkout.
const folder = process.env.STACK_FOLDER ?? `${root}.stack`
// npm passes on a terminal's Ctrl-C that this process got already: within this time it is the same one.
const sameSignal = 1000

let stack: RunningStack | undefined
let firstSignal = 0
let exitCode = 0
const abort = new AbortController()

const say = (line: string) => process.stdout.write(`${line}\n`)

function fail(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(1)
}

async function main(): Promise<void> {
  const { ports, own = [], command } = readArguments()
  if (command) return report(command)
  const lock = await takeLock(folder, line => obey(line, stack?.services))
  if ('heldBy' in lock) fail(alreadyRunning(lock.heldBy))
  removeStackFile(folder)
  if (ports) await checkPorts(ports)

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      exitCode ||= 128 + constants.signals[signal]
      stopOnSignal(signal)
    })
  }
  onNpmGone(process.env, () => stopOnSignal('npm has ended'))
  // A reader that closed the pipe, `npm start | head` for one, must not end this process before the stack is down.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

  const program = process.env.STACK_SERVICE_PROGRAM
  try {
    stack = await startStack({
      folder,
      durable: true,
      own,
      inOrder: true,
      abort: abort.signal,
      output: say,
      onServiceLine: serviceOutput(process.stdout),
      serviceDied: (message, name) => stack && !firstSignal && reportDeath(message, name),
      ...(ports && { ports }),
      ...(program && { programs: { service: () => program, init: undefined } }),
    })
  } catch (error) {
    // It has not come up: as a program that the signal ends.
    if (abort.signal.aborted) process.exit(exitCode)
    fail(error)
  }
  say(nextSteps(stack.info, relative(process.cwd(), `${folder}/stack.json`), stack.servers !== undefined))
}

function stopOnSignal(signal: string): void {
  const now = Date.now()
  if (firstSignal) {
    if (now - firstSignal < sameSignal) return
    processWatch().endNow()
    process.exit(0)
  }
  firstSignal = now
  say(`\n${signal}: stopping services, NATS, Redis, PostgreSQL.`)
  abort.abort()
  // Before the start is over, startStack itself takes down what it has begun.
  stack?.stop().then(() => process.exit(0), fail)
}

function reportDeath(message: string, name: string): void {
  process.stderr.write(`${message}\nThe others go on. Start it again: npm run stack -- start ${name}\n`)
}

/** Longer than a service takes to start or stop. */
const commandDeadline = 60_000

async function report(command: string): Promise<void> {
  const answer = await notifyLauncher(folder, command, commandDeadline)
  if (answer === undefined) fail('No stack of this checkout is running: start it with `npm start`.')
  if (!answer.startsWith('ok ')) fail(answer)
  say(answer.slice(3))
}

interface Arguments {
  ports?: PerService<number>
  own?: readonly OwnService[]
  command?: string
}

function readArguments(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      options: {
        ports: { type: 'string' },
        service: { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
      allowPositionals: true,
    })
    if (values.help) {
      process.stdout.write(help)
      process.exit(0)
    }
    if (positionals.length > 0) return { command: readCommand(positionals) }
    // npm runs this in the checkout, and says where it was called.
    const own = readOwnServices(values.service ?? [], process.env.INIT_CWD ?? process.cwd())
    return { own, ...readPorts(values.ports, own) }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`)
    process.exit(2)
  }
}

function readCommand(words: readonly string[]): string {
  const [verb = '', name = ''] = words
  const services = Object.keys(readStackFile(folder)?.services ?? perEach([], () => ''))
  const known = (commands as readonly string[]).includes(verb) && services.includes(name)
  if (!known || words.length > 2) {
    throw new Error(`\`${words.join(' ')}\` is no command: ${commands.join(' or ')}, then ${services.join(', ')}.`)
  }
  return `${verb} ${name}`
}

function readPorts(value: string | undefined, own: readonly OwnService[]): { ports?: PerService<number> } {
  const first = value === undefined ? defaultPorts.identity : Number(value)
  const count = serviceNames.length + own.length
  if (!/^\d+$/.test(value ?? '0') || first > 65_536 - count) {
    throw new Error(`--ports is \`${value}\`, which is no port. Give the first of ${count}, or 0 for free ones.`)
  }
  const others = own.map(({ name }) => name)
  return first === 0 ? {} : { ports: perEach(others, (_, index) => first + index) }
}

function alreadyRunning(pid: number): string {
  const who = pid ? ` (process ${pid})` : ''
  const info = readStackFile(folder)
  if (!info) return `The stack of this checkout is being started or stopped by another launcher${who}.`
  const urls = Object.entries(info.services).map(([name, { url }]) => `  ${name.padEnd(10)}${url}`)
  return `The stack of this checkout is already running${who}:\n${urls.join('\n')}\nStop it with Ctrl-C in its terminal.`
}

main().catch(fail)
