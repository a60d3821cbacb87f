// `npm run shutdown-hunt -- --rounds N`: the hunt from the command line.
import { huntCommand } from './hunt-command.js'
import { huntShutdowns } from './shutdown-hunt/run.js'

const help = `Usage: npm run shutdown-hunt -- [--rounds N] [--seed N] [--json]

  --rounds N  how often a service under load is shut down (default 50)
  --seed N    when in each round (default 1)
  --json      ends with one line of JSON
`

huntCommand({
  name: 'shutdown-hunt',
  help,
  numbers: { rounds: { otherwise: 50 }, seed: { otherwise: 1 } },
  run: ({ rounds, seed }, progress) => huntShutdowns({ rounds, seed, progress }),
  lines({ violations, statuses, ...numbers }) {
    return [
      ...Object.entries(numbers).map(([key, value]) => `  ${key.padEnd(16)}${Math.round(value)}`),
      `  ${'statuses'.padEnd(16)}${Object.entries(statuses).map(([status, count]) => `${count} x ${status}`)}`,
      ...violations.map(violation => `  ! ${violation}`),
      violations.length === 0 ? 'every shutdown was clean' : `VIOLATED ${violations.length} times`,
    ]
  },
})
