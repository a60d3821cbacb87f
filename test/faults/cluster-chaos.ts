// `npm run cluster-chaos -- --minutes N`: kills servers of a NATS cluster, Redis behind sentinels and services at random, under
// creations and requests, and checks the ledger.
import { huntCommand } from '../../bench/hunt-command.js'
import { runClusterChaos } from './cluster-chaos/run.js'

const help = `Usage: npm run cluster-chaos -- [--minutes N] [--seed S] [--json]

  --minutes N   how long processes are killed (default 5)
  --seed S      of the random decisions (default 1)
  --json        ends with one line of JSON
`

huntCommand({
  name: 'cluster-chaos',
  help,
  numbers: { minutes: { otherwise: 5 }, seed: { otherwise: 1 } },
  run: (values, progress) => runClusterChaos({ ...values, progress }),
  lines({ kills, violations, deaths, failures, requests, ...counts }) {
    const list = Object.entries(kills).map(([name, count]) => `${count} ${name}`)
    return [
      ...Object.entries(counts).map(([key, value]) => `  ${key.padEnd(22)}${value ?? 'never'}`),
      `  ${'kills'.padEnd(22)}${list.join(', ')}`,
      `  ${'requests'.padEnd(22)}${requests.sent}, ${requests.failed} failed`,
      `  ${'ended by themselves'.padEnd(22)}${deaths.length}`,
      `  ${'calls without answer'.padEnd(22)}${failures.length}`,
      ...violations.slice(0, 50).map(what => `  ! ${what}`),
      violations.length === 0
        ? 'nothing lost, nothing stuck, nothing twice'
        : `VIOLATED: ${violations.length} findings`,
    ]
  },
})
