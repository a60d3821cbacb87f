// `npm run leak-hunt -- --requests N`: the hunt from the command line.
import { huntCommand } from './hunt-command.js'
import { huntLeaks } from './leak-hunt/run.js'

const help = `Usage: npm run leak-hunt -- [--requests N] [--tenants N] [--restarts N] [--json]
         [--drizzle|--kysely|--pg|--mikro-orm]

  --requests N  requests to send (default 100000)
  --tenants N   tenant databases, each with a secret of its own (default 100)
  --restarts N  times that PostgreSQL is killed and started again meanwhile (default 0)
  --drizzle     its handlers use Drizzle
  --kysely      its handlers use Kysely
  --pg          its handlers use the pool in the shape of pg
  --mikro-orm   its handlers use MikroORM
  --json        ends with one line of JSON
`

const orms = ['drizzle', 'kysely', 'pg', 'mikro-orm'] as const

const list = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .map(([key, count]) => `${count} ${key}`)
    .join(', ') || 'none'

huntCommand({
  name: 'leak-hunt',
  help,
  numbers: { requests: { otherwise: 100_000 }, tenants: { otherwise: 100 }, restarts: { otherwise: 0, least: 0 } },
  flags: orms,
  run: (values, progress) => huntLeaks({ ...values, orm: orms.find(orm => values[orm]), progress }),
  lines({ sent, allowed, examples, violations, memory, death: _, ...counts }) {
    return [
      ...Object.entries(counts).map(([key, value]) => `  ${key.padEnd(24)}${Math.round(value as number)}`),
      `  ${'memory'.padEnd(24)}${memory.middle.toFixed(0)} MiB, then ${memory.last.toFixed(0)} MiB; ${memory.slope.toFixed(2)} MiB per 10,000 requests`,
      `  ${'sent'.padEnd(24)}${list(sent)}`,
      `  ${'refused as they may be'.padEnd(24)}${list(allowed)}`,
      ...examples.map(example => `  ! ${example}`),
      violations.length === 0 ? 'nothing leaked' : `VIOLATED: ${violations.join('; ')}`,
    ]
  },
})
