// Owns reading the environment. A known variable with a bad value stops the start and names itself and the cure; unknown ones
// are ignored. Every secret may also come from a file: NAME_FILE. What each may hold is in variables.ts.
import { existsSync } from 'node:fs'
import envSchema from 'env-schema'
import { ConfigurationInvalid } from '../errors.js'
import { NoText, readTextFile } from '../text-file.js'
import { type Environment, environmentSchema, secretVariables } from './environment-schema.js'

export type { Environment } from './environment-schema.js'

/**
 * Reads and checks the environment. An empty variable counts as unset, but for REDIS_URL, where empty means "no Redis".
 * @throws CONFIGURATION_INVALID naming the variable, what it may hold, and never its value.
 */
export function readEnvironment(source: Readonly<Record<string, string | undefined>> = process.env): Environment {
  const data: Record<string, string> = {}
  for (const name of Object.keys(environmentSchema.properties)) {
    const value = source[name]
    if (value !== undefined && (value !== '' || name === 'REDIS_URL')) data[name] = value
  }
  for (const name of secretVariables) {
    const secret = readSecret(name, source)
    if (secret !== undefined) data[name] = secret
  }
  try {
    const environment = envSchema<Environment>({ schema: structuredClone(environmentSchema), data, env: false })
    environment.DOCKER_ENABLED ??= existsSync('/.dockerenv')
    return environment
  } catch (error) {
    throw new ConfigurationInvalid(describe(error))
  }
}

/**
 * A secret from NAME or from the file NAME_FILE names; a trailing newline is dropped.
 * @throws CONFIGURATION_INVALID when both are set or the file cannot be read
 */
export function readSecret(
  name: string,
  source: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  const path = source[`${name}_FILE`]
  if (!path) return source[name] || undefined
  if (source[name]) throw new ConfigurationInvalid(`${name} and ${name}_FILE are both set: keep one of them.`)
  try {
    return readTextFile(path).replace(/\r?\n$/, '')
  } catch (error) {
    if (error instanceof NoText) throw new ConfigurationInvalid(`The file of ${name}_FILE ${error.message}.`)
    const code = (error as NodeJS.ErrnoException).code
    throw new ConfigurationInvalid(`${name}_FILE cannot be read (${code}): check the path and who may read it.`)
  }
}

/** Where a secret is read from, for who reads it again while the process runs. */
export function secretPath(
  name: (typeof secretVariables)[number],
  source: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  return source[`${name}_FILE`] || undefined
}

function describe(error: unknown): string {
  const first = (error as { errors?: { instancePath: string }[] }).errors?.[0]
  const name = first?.instancePath.slice(1) as keyof typeof environmentSchema.properties | undefined
  const schema = name ? (environmentSchema.properties[name] as { description?: string }) : undefined
  return schema ? `${name} is not usable: it must be ${schema.description}.` : (error as Error).message
}
