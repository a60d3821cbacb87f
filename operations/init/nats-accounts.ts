// The accounts of events/permissions.ts as the server's configuration has them.
import type { NatsAccount } from '../../events/index.js'

/** To the server an empty list of what is allowed is no list. */
export const rule = (allowed: readonly string[]) => (allowed.length > 0 ? { allow: allowed } : { deny: ['>'] })

/** The value of `accounts`. Keys that an account does not need are left out. */
export function accountsSection(
  accounts: readonly NatsAccount[],
  passwordOf: (user: string) => string,
): Record<string, Record<string, unknown>> {
  const section = accounts.map(({ name, jetstream, users, exports, imports }) => [
    name,
    {
      ...(jetstream && { jetstream: 'enabled' }),
      ...(users.length > 0 && {
        users: users.map(user => ({
          user: user.name,
          password: passwordOf(user.name),
          permissions: {
            publish: rule(user.publish),
            subscribe: rule(user.subscribe),
            ...(user.answers && { allow_responses: true }),
          },
        })),
      }),
      ...(exports.length > 0 && {
        exports: exports.map(({ subject, to, several }) => ({
          service: subject,
          accounts: to,
          ...(several && { response_type: 'stream' }),
        })),
      }),
      ...(imports.length > 0 && {
        imports: imports.map(({ subject, from }) => ({ service: { account: from, subject } })),
      }),
    },
  ])
  return Object.fromEntries(section)
}
