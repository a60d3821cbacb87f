// `npm run chaos -- --tenants N --kills M`: kills processes at random under load and checks the ledger.
import { huntCommand } from '../../bench/hunt-command.js'
import { runChaos } from './chaos/run.js'

const help = `Usage: npm run chaos -- [--tenants N] [--kills M] [--seed S] [--wipe-nats] [--json]

  --tenants N   tenants to make, change and delete (default 100)
  --kills M     SIGKILLs, to the services, a replica, NATS, Redis and each PostgreSQL (default 30)
  --seed S      of the random decisions (default 1)
  --wipe-nats   NATS restarts without its store
  --json        ends with one line of JSON
`

huntCommand({
  name: 'chaos',
  help,
  numbers: { tenants: { otherwise: 100 }, kills: { otherwise: 30 }, seed: { otherwise: 1 } },
  flags: ['wipe-nats'],
  run: ({ 'wipe-nats': wipeNats, ...values }, progress) => runChaos({ ...values, wipeNats, progress }),
  lines({ kills, violations, deaths, failures, ...counts }) {
    const list = Object.entries(kills).map(([name, count]) => `${count} ${name}`)
    return [
      ...Object.entries(counts).map(([key, value]) => `  ${key.padEnd(22)}${value ?? 'never'}`),
      `  ${'kills'.padEnd(22)}${list.join(', ')}`,
      `  ${'ended by themselves'.padEnd(22)}${deaths.length}`,
      `  ${'calls without answer'.padEnd(22)}${failures.length}`,
      ...violations.slice(0, 50).map(what => `  ! ${what}`),
      violations.length === 0
        ? 'nothing lost, nothing stuck, nothing twice'
        : `VIOLATED: ${violations.length} findings`,
    ]
  },
})
