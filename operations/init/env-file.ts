// The `.env` that `init` writes for a service: .env.example filled in from the environment, with random
// secrets where the service is new and has none. Invariant: an existing file is never touched, and only its owner may
// read a written one. A folder that cannot be written to is refused before anything is made.
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { secretVariables } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { ConfigurationInvalid } from '../../plugins/distributed-tenant/errors.js'

const EXAMPLE = fileURLToPath(new URL('../../../.env.example', import.meta.url))

export const randomSecret = (): string => randomBytes(32).toString('hex')

/** Whether it may be written: false when it is there. @throws CONFIGURATION_INVALID when its folder cannot be written to */
export function mayWrite(path: string): boolean {
  if (existsSync(path)) return false
  try {
    accessSync(dirname(resolve(path)), constants.W_OK)
    return true
  } catch (error) {
    throw new ConfigurationInvalid(
      `${path} cannot be written (${(error as NodeJS.ErrnoException).code}): pass --write-env <file>, or --no-write-env for none.`,
    )
  }
}

/** The secrets that a new service lacks, by name. Only this service needs them; identity's tokens are for the others to copy. */
export function newSecrets(service: string, given: NodeJS.ProcessEnv): Record<string, string> {
  const wanted: Record<string, () => string> = {
    TENANT_ROLE_SECRET: () => `k1:${randomSecret()}`,
    AUDIT_SECRET: randomSecret,
    ...(service === 'identity'
      ? { ADMIN_TOKEN: randomSecret, SERVICE_TOKEN: randomSecret, OPERATOR_TOKEN: () => `administer:${randomSecret()}` }
      : {}),
  }
  const missing = Object.entries(wanted).filter(([name]) => !given[name] && !given[`${name}_FILE`])
  return Object.fromEntries(missing.map(([name, make]) => [name, make()]))
}

/** Writes the file. @throws EEXIST when it has appeared meanwhile, CONFIGURATION_INVALID for a value that no file can hold */
export function writeEnvFile(path: string, service: string, values: NodeJS.ProcessEnv): void {
  writeFileSync(path, envFile(path, service, values), { mode: 0o600, flag: 'wx' })
}

function envFile(path: string, service: string, values: NodeJS.ProcessEnv): string {
  const example = readFileSync(EXAMPLE, 'utf8')
  const head = [
    `# Made by \`distributed-tenant init\` for ${service}. It holds secrets: keep it out of version control.`,
    `# Start the service with it: node --env-file=${path} <program>. Every variable: docs/configuration.md.`,
  ]
  const lines = example.slice(example.indexOf('\n\n')).split('\n')
  return [...head, ...lines.slice(1).map(line => filled(line, values))].join('\n')
}

/** The line of a variable as the environment has it; any other as it is. */
function filled(line: string, values: NodeJS.ProcessEnv): string {
  const name = /^(?:# )?([A-Z_]+)=/.exec(line)?.[1]
  if (name === undefined) return line
  const file = `${name}_FILE`
  if ((secretVariables as readonly string[]).includes(name) && values[file]) return assignment(file, values[file])
  // Empty counts as unset, but for the one where empty means "none".
  const value = values[name]
  return value === undefined || (value === '' && name !== 'REDIS_URL') ? line : assignment(name, value)
}

/** Quoted as it is read back; a value that needs no quotes has none. */
function assignment(name: string, value: string): string {
  const quotes = /^[\w@%+=:,./-]*$/.test(value) ? [''] : ["'", '"', '`']
  const line = quotes.map(quote => `${name}=${quote}${value}${quote}`).find(text => parseEnv(text)[name] === value)
  if (line !== undefined) return line
  throw new ConfigurationInvalid(`${name} has every kind of quotes, which no .env file can hold: choose another value.`)
}
