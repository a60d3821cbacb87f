// The environment of a program that this command starts: its own without the project's secrets.
import { secretVariables } from '../plugins/distributed-tenant/config/environment-schema.js'

const ours = new Set<string>(secretVariables.flatMap(name => [name, `${name}_FILE`]))

export function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !ours.has(name) && !/_DB_PASSWORD|^SOURCE_PASSWORD/.test(name)),
  )
}
