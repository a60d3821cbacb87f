// A service of the user's own that the stack runs beside its three, from its folder: `npm start -- --service ../billing`. The folder's
// package.json says what it is: `name` is the service, `main` the compiled program. It is read before anything is started.
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseServiceName } from '../plugins/distributed-tenant/index.js'
import { serviceNames } from './names.js'

export interface OwnService {
  readonly name: string
  readonly folder: string
  readonly program: string
  /** The folder of its tenants' migrations, for the operator's command; null: it has no `migrations`. */
  readonly migrations: string | null
}

/** @param path relative to `from` @throws an error that names the folder and the cure */
export function readOwnService(path: string, from: string): OwnService {
  const folder = resolve(from, path)
  const { name, main } = readManifest(folder)
  const service = serviceOf(folder, name)
  if (typeof main !== 'string') {
    throw new Error(
      `${join(folder, 'package.json')} has no \`main\`: set it to the compiled program, like dist/main.js.`,
    )
  }
  const program = resolve(folder, main)
  if (!existsSync(program)) throw new Error(`${program} does not exist: run \`npm run build\` in ${folder} first.`)
  const migrations = join(folder, 'migrations')
  return { name: service, folder, program, migrations: existsSync(migrations) ? migrations : null }
}

function readManifest(folder: string): { name?: unknown; main?: unknown } {
  const path = join(folder, 'package.json')
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? 'it is no JSON'
    throw new Error(`${path} cannot be read (${reason}): give --service the folder of a service.`)
  }
}

function serviceOf(folder: string, name: unknown): string {
  let service: string
  try {
    service = parseServiceName(String(name).replace(/^@[^/]+\//, ''))
  } catch {
    throw new Error(
      `The name in ${join(folder, 'package.json')} is no service: use 1 to 15 of a-z and 0-9, beginning with a letter, like billing.`,
    )
  }
  if ((serviceNames as readonly string[]).includes(service)) {
    throw new Error(`${folder} is named ${service}, as a service of the stack itself: choose another name.`)
  }
  return service
}

/** @throws when two folders have one name */
export function readOwnServices(paths: readonly string[], from: string): OwnService[] {
  const services = paths.map(path => readOwnService(path, from))
  const names = services.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) < index)
  if (twice !== undefined) throw new Error(`Two services are named ${twice}: give each --service a name of its own.`)
  return services
}
