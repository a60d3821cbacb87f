// `npm run migrate-kills -- --tenants N --kills M`: a migration of all tenants that is killed repeatedly.
import { huntCommand } from '../../bench/hunt-command.js'
import { killMigrations } from './migrate-kills/run.js'

const help = `Usage: npm run migrate-kills -- [--tenants N] [--kills M] [--seed S] [--json]

  --tenants N  tenants to migrate, three of them poisoned (default 200)
  --kills M    SIGKILLs to the command's process, which is then gone on with by --resume (default 10)
  --seed S     of the random moments (default 1)
  --json       ends with one line of JSON
`

huntCommand({
  name: 'migrate-kills',
  help,
  numbers: { tenants: { otherwise: 200, least: 20 }, kills: { otherwise: 10 }, seed: { otherwise: 1 } },
  run: (values, progress) => killMigrations({ ...values, progress }),
  lines: ({ tenants, killedAt, migrated, named, violations }) => [
    `  ended when killed  ${killedAt.join(' ')}`,
    `  migrated           ${migrated} of ${tenants}`,
    `  named              ${named.join(' ')}`,
    ...violations.slice(0, 50).map(what => `  ! ${what}`),
    violations.length === 0 ? 'none half done, none forgotten' : `VIOLATED: ${violations.length} findings`,
  ],
})
