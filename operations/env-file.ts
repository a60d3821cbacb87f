// The `.env` of the folder that the command runs in, read as `node --env-file=.env` reads it for the service: what the
// environment has already stays. Invariant: the variables of one service never reach another one, so a file of other services
// than the environment names is left out, and so is one that names none where the environment names none either.
import { parseEnv } from 'node:util'
import { NoText, readTextFile } from '../files/text-file.js'
import { UsageError } from './outcome.js'

const FILE = '.env'

/** @returns whether it was read. @throws UsageError when it is there and is no text that can be read */
export function readEnvFile(environment: NodeJS.ProcessEnv): boolean {
  const file = parsed()
  if (file === null) return false
  const named = servicesIn(environment)
  const namedByFile = servicesIn(file)
  if (!named && !namedByFile) return false
  if (named && namedByFile && named !== namedByFile) return false
  for (const [name, value] of Object.entries(file)) environment[name] ??= value
  return true
}

function parsed(): NodeJS.Dict<string> | null {
  try {
    return parseEnv(readTextFile(FILE))
  } catch (error) {
    if (error instanceof NoText) throw new UsageError(`${FILE} ${error.message}.`)
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EISDIR') return null
    throw new UsageError(`${FILE} cannot be read (${code}): check its permissions, or pass --config.`)
  }
}

/** Which services these variables are for, as a text to compare; empty when they name none. */
function servicesIn(variables: NodeJS.Dict<string>): string {
  const several = Object.keys(variables)
    .filter(name => /^[A-Z][A-Z0-9]*_DB_HOST$/.test(name) && name !== 'TENANT_DB_HOST' && variables[name])
    .sort()
  return several.length > 0 ? several.join() : (variables.SERVICE_NAME ?? '').replace(/-service$/, '')
}
