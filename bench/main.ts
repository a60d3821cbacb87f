// `npm run bench -- <name>`: reads the options, runs one benchmark, prints its report. Owns the signals: Ctrl-C ends every
// process and folder of it. Exit code 0 done, 1 failed, 2 usage.
import { parseArgs } from 'node:util'
import { bytesOf } from '../operations/copying/byte-sizes.js'
import { processWatch } from '../stack/watch.js'
import type { BenchOptions } from './arms.js'
import { benchAuth } from './cases/auth.js'
import { benchBurst } from './cases/burst.js'
import { benchCap } from './cases/cap.js'
import { benchCold } from './cases/cold.js'
import { benchConsole } from './cases/console.js'
import { benchFailover } from './cases/failover.js'
import { benchFleet } from './cases/fleet.js'
import { benchIdle } from './cases/idle.js'
import { benchImport } from './cases/import.js'
import { benchLookup } from './cases/lookup.js'
import { benchMove } from './cases/move.js'
import { benchObserve } from './cases/observe.js'
import { benchOrm } from './cases/orm.js'
import { benchProvision } from './cases/provision.js'
import { benchRequest } from './cases/request.js'
import { benchSuspension } from './cases/suspension.js'
import { createProgress } from './progress.js'
import { type Case, type Config, printReport } from './report.js'

const help = `Usage: npm run bench -- request|cap|cold|idle|provision|burst|fleet|observe|lookup|auth|suspension|import|move|failover|orm|console
         [--json] [--rounds N] [--seconds S] [--tenants N] [--moves N] [--gigabytes N,N] [--only TEXT] [--against DIR] [--quick]

  request  1, 10 and 40 tenants that fit the budget of 50, against every rival
  cap      100 and 1000 tenants, a hot tenant under a cold storm, opens per second, backends on the server
  cold     the first query of a tenant without a connection
  idle     heap of a known idle tenant, driver instances and sockets alive
  observe  the plugin with metrics on and tracing off against both off
  lookup   a tenant found in memory and in Redis against one in the code, heap of the directory, Redis killed under load
  auth     tokens against @fastify/jwt alone, everything audited against nothing, 404 against 403
  suspension  from the admin's call to the last replica's refusal, normally and with NATS and Redis dead
  orm      each ORM over tenants' clients against one pool of its own, and one PrismaClient against one per tenant
  provision  a tenant from POST to ready in all three services: spare, clone, create and migrate
  move     how long writes wait while a tenant is moved between instances and back, against the freeze and a bare parallel copy
  failover the leader of NATS killed under creation, a standby of PostgreSQL promoted, starts with 10,000 tenants in the registry
           (--only nats, postgres or start: one of them)
  burst    300 tenants at once, and what existing tenants feel of them
  fleet    creating, listing, reconciling, doctor and migrate with 1000 tenants against 10 and bare loops
  import   50 tenants x 3 services out of one shared server, against pg_dump and psql one by one; memory of the command
  console  CPU of identity with 20 open consoles against none, memory of one, the list of 10,000 tenants

  --rounds N    measured rounds, after one that is dropped
  --seconds S   of each turn of each arm in a round
  --tenants N   at most so many tenants
  --moves N     move: how often each tenant is moved; in --rounds of them it is also moved frozen and copied bare
  --gigabytes N,N  move: how large the tenants are (default 1); or --size 200MB for one
  --only TEXT   only cases whose name holds this text
  --against DIR request, cap and orm: the plugin of another checkout that is built, as one more arm
  --quick       few tenants and two short rounds: shows that it runs, measures nothing
  --json        ends with one line of JSON
`

interface Bench {
  readonly run: (options: BenchOptions) => Promise<{ config: Config; cases: Case[] }>
  readonly rounds: number
  readonly seconds: number
  readonly tenants: number
  readonly quickTenants: number
}

const benches: Readonly<Record<string, Bench>> = {
  request: { run: benchRequest, rounds: 15, seconds: 1, tenants: 40, quickTenants: 10 },
  cap: { run: benchCap, rounds: 5, seconds: 2, tenants: 1_000, quickTenants: 60 },
  cold: { run: benchCold, rounds: 15, seconds: 1, tenants: 50, quickTenants: 12 },
  observe: { run: benchObserve, rounds: 25, seconds: 1.5, tenants: 10, quickTenants: 5 },
  lookup: { run: benchLookup, rounds: 25, seconds: 1, tenants: 10, quickTenants: 5 },
  auth: { run: benchAuth, rounds: 25, seconds: 1, tenants: 10, quickTenants: 5 },
  orm: { run: benchOrm, rounds: 25, seconds: 1, tenants: 100, quickTenants: 10 },
  suspension: { run: benchSuspension, rounds: 5, seconds: 10, tenants: 20, quickTenants: 4 },
  idle: { run: benchIdle, rounds: 5, seconds: 1, tenants: 100, quickTenants: 12 },
  provision: { run: benchProvision, rounds: 20, seconds: 1, tenants: 1, quickTenants: 1 },
  move: { run: benchMove, rounds: 5, seconds: 10, tenants: 1, quickTenants: 1 },
  failover: { run: benchFailover, rounds: 10, seconds: 1, tenants: 10_000, quickTenants: 100 },
  burst: { run: benchBurst, rounds: 1, seconds: 10, tenants: 300, quickTenants: 12 },
  import: { run: benchImport, rounds: 3, seconds: 1, tenants: 50, quickTenants: 2 },
  console: { run: benchConsole, rounds: 5, seconds: 10, tenants: 10, quickTenants: 10 },
  fleet: { run: benchFleet, rounds: 7, seconds: 1, tenants: 1_000, quickTenants: 20 },
}

function usage(why: string): never {
  process.stderr.write(`${why}\n\n${help}`)
  process.exit(2)
}

function readOptions() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        tenants: { type: 'string' },
        moves: { type: 'string' },
        gigabytes: { type: 'string' },
        size: { type: 'string' },
        only: { type: 'string', default: '' },
        against: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    usage((error as Error).message)
  }
}

function above0(name: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise
  const number = Number(value)
  if (!(number > 0)) usage(`--${name} is \`${value}\`: give a number above 0.`)
  return number
}

function megabytesOf({ gigabytes, size }: { gigabytes?: string | undefined; size?: string | undefined }) {
  if (size === undefined) return gigabytes?.split(',').map(one => above0('gigabytes', one, 1) * 1024)
  const bytes = bytesOf(size)
  if (bytes === null) usage(`--size is \`${size}\`: give a size like 200MB.`)
  return [bytes / 2 ** 20]
}

async function main(): Promise<void> {
  const { values, positionals } = readOptions()
  if (values.help) {
    process.stdout.write(help)
    return
  }
  const [name = ''] = positionals
  const bench = benches[name]
  if (!bench || positionals.length > 1) usage(`\`${positionals.join(' ')}\` is no benchmark.`)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      processWatch().endNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  const progress = createProgress()
  const { config, cases } = await bench.run({
    rounds: Math.ceil(above0('rounds', values.rounds, values.quick ? 2 : bench.rounds)),
    seconds: above0('seconds', values.seconds, values.quick ? 0.4 : bench.seconds),
    tenants: Math.ceil(above0('tenants', values.tenants, values.quick ? bench.quickTenants : bench.tenants)),
    megabytes: megabytesOf(values),
    moves: values.moves === undefined ? undefined : Math.ceil(above0('moves', values.moves, 1)),
    quick: values.quick,
    only: values.only,
    against: values.against,
    progress,
  })
  progress.end()
  printReport(name, config, cases, values.json)
}

main().then(
  () => process.exit(0),
  error => {
    processWatch().endNow()
    process.stderr.write(`\n${error instanceof Error ? error.stack : error}\n`)
    process.exit(1)
  },
)
