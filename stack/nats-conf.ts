// Prints deploy/nats.conf: the accounts of events/permissions.ts in the server's own format, passwords from its environment.
// After a change of the rules: `npm run build && node dist/stack/nats-conf.js > deploy/nats.conf`; a test holds them equal.
// With services of your own: `node dist/stack/nats-conf.js identity employee core billing`.
import { fileURLToPath } from 'node:url'
import { natsAccounts } from '../events/index.js'
import { serviceNames } from './names.js'
import { accountsSection } from './nats-accounts.js'

export const passwordVariable = (name: string): string => `NATS_${name.toUpperCase()}_PASSWORD`

const HEAD = `# Accounts and users of NATS, for nats-server 2.9 and later. Made from events/permissions.ts: change it there.
# Passwords come from the environment; begin them with a letter, or the server may read a number:
#   NATS_OPERATOR_PASSWORD=… NATS_IDENTITY_PASSWORD=… NATS_EMPLOYEE_PASSWORD=… NATS_CORE_PASSWORD=… \\
#     nats-server -js -sd /data -c deploy/nats.conf
# compose.yaml gets a copy with passwords in it, made by deploy/secrets.sh. The lines for a service of your own:
# docs/events.md. With a JetStream domain, its name stands in place of the _ in $JS.ACK._.
`

/** One line for each subject, export and import. */
function print(value: unknown, indent = ''): string {
  const inner = `${indent}  `
  if (typeof value === 'string') return /^\$NATS_\w+$/.test(value) ? value : JSON.stringify(value)
  if (Array.isArray(value)) {
    return `[\n${value.map(one => `${inner}${isShort(one) ? onOneLine(one) : print(one, inner)}\n`).join('')}${indent}]`
  }
  if (typeof value !== 'object' || value === null) return String(value)
  const lines = Object.entries(value).map(([key, one]) => `${inner}${key}: ${print(one, inner)}\n`)
  return `{\n${lines.join('')}${indent}}`
}

const isShort = (value: unknown): boolean => typeof value === 'object' && value !== null && 'service' in value

function onOneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{ ${Object.entries(value)
    .map(([key, one]) => `${key}: ${onOneLine(one)}`)
    .join(', ')} }`
}

export const natsConf = (services: readonly string[] = serviceNames): string =>
  `${HEAD}accounts: ${print(accountsSection(natsAccounts(services), name => `$${passwordVariable(name)}`))}\n`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const services = process.argv.slice(2)
  process.stdout.write(natsConf(services.length > 0 ? services : serviceNames))
}
