// The reader of the environment. A known variable with a bad value stops the start with its name and the cure; unknown ones
// are ignored; those that are one letter from a known one can be listed. Every secret may also come from a file: NAME_FILE. The accepted values are in environment-schema.ts.
import { existsSync } from 'node:fs'
import { compileValidator, type Validator } from '../../../events/index.js'
import { fromText } from '../../../events/json-schema.js'
import { NoText, readTextFile } from '../../../files/text-file.js'
import { ConfigurationInvalid } from '../errors.js'
import { type Environment, environmentSchema, secretVariables } from './environment-schema.js'
import { isOneLetterApart } from './spelling.js'

export type { Environment } from './environment-schema.js'

/**
 * Reads and checks the environment. An empty variable counts as unset, but for REDIS_URL, where empty means "no Redis".
 * @throws CONFIGURATION_INVALID naming the variable and its accepted values, never its value.
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
  const { properties } = environmentSchema
  const environment: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(properties)) {
    const text = data[name]
    const { default: otherwise } = schema as { default?: unknown }
    if (text !== undefined) environment[name] = fromText(schema, text)
    else if (otherwise !== undefined) environment[name] = otherwise
  }
  // The defaults are good, and the compiler takes as long as many a command.
  if (Object.keys(data).length > 0 && !validator.Check(environment)) {
    throw new ConfigurationInvalid(describe(validator.Errors(environment)))
  }
  environment.DOCKER_ENABLED ??= existsSync('/.dockerenv')
  return environment as Environment
}

const validator = compileValidator(environmentSchema)

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
    throw new ConfigurationInvalid(`${name}_FILE cannot be read (${code}): check the path and its permissions.`)
  }
}

/** The file of a secret, for parts that read it again while the process runs. */
export function secretPath(
  name: (typeof secretVariables)[number],
  source: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  return source[`${name}_FILE`] || undefined
}

function describe([first]: ReturnType<Validator['Errors']>): string {
  const name = first?.instancePath.slice(1) as keyof typeof environmentSchema.properties
  const { description } = environmentSchema.properties[name] as { description?: string }
  return `${name} is not usable: it must be ${description}.`
}

/** A shorter name may be another program's. */
const SHORTEST = 6

/** Sentences about variables that are probably misspelt. They never hold a value. */
export function misspeltVariables(source: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const known = new Set<string>(Object.keys(environmentSchema.properties))
  for (const name of secretVariables) known.add(`${name}_FILE`)
  const sentences: string[] = []
  for (const name of Object.keys(source)) {
    if (name.length < SHORTEST || known.has(name)) continue
    const near = [...known].find(one => one.length >= SHORTEST && isOneLetterApart(one, name))
    if (near) sentences.push(`The variable ${name} is not known and has no effect: is it ${near}?`)
  }
  return sentences
}
