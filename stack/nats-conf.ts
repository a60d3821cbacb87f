// Prints deploy/nats.conf: the users of events/permissions.ts in the server's own format, passwords from its environment.
// After a change of the rules: `npm run build && node dist/stack/nats-conf.js > deploy/nats.conf`; a test holds them equal.
import { fileURLToPath } from 'node:url'
import { type NatsUser, natsUsers } from '../events/index.js'
import { serviceNames } from './names.js'

export const passwordVariable = (name: string): string => `NATS_${name.toUpperCase()}_PASSWORD`

const HEAD = `# Who may do what on NATS, for nats-server 2.9 and later. Made from events/permissions.ts: change it there.
# Passwords come from the environment; begin them with a letter, or the server may read a number:
#   NATS_OPERATOR_PASSWORD=… NATS_IDENTITY_PASSWORD=… NATS_EMPLOYEE_PASSWORD=… NATS_CORE_PASSWORD=… \\
#     nats-server -js -sd /data -c deploy/nats.conf
# compose.yaml gets a copy with passwords in it, made by deploy/secrets.sh. A service of your own gets what employee has.
`

const quoted = (subjects: readonly string[], indent: string): string =>
  subjects.map(subject => `${indent}${JSON.stringify(subject)}\n`).join('')

function block({ name, publish, subscribe }: NatsUser): string {
  const heard = subscribe.length > 0 ? `{ allow: ${JSON.stringify(subscribe)} }` : '{ deny: [">"] }'
  return `    {
      user: ${name}
      password: $${passwordVariable(name)}
      permissions: {
        publish: { allow: [
${quoted(publish, '          ')}        ] }
        subscribe: ${heard}
      }
    }
`
}

export const natsConf = (users: readonly NatsUser[] = natsUsers(serviceNames)): string =>
  `${HEAD}authorization {\n  users: [\n${users.map(block).join('')}  ]\n}\n`

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(natsConf())
