// The cures of the faults that the inventory finds and that no repair cures: what a person does about each.
import type { Finding } from './inventory.js'

export const cures: Partial<Record<Finding, string>> = {
  database_missing: '`distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_invalid:
    'an interrupted DROP left it: `distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_foreign: 'not owned by the service’s role: inspect it, rename it, then `retry` the tenant',
  mark_missing: 'the service inspects it within a minute and marks it again if it is this tenant’s',
  other_incarnation:
    'made for an earlier tenant of this id: another customer’s is renamed or dropped by hand, then `retry` the tenant; the same customer’s: docs/troubleshooting.md, "another incarnation"',
  mark_wrong: 'it is another tenant’s or was replaced: inspect it, then `retry` the tenant',
  instance_unreachable: 'its instance cannot be asked: is it up, was `init` run with DB_INSTANCES?',
  instance_unknown: 'name its instance in DB_INSTANCES',
}
