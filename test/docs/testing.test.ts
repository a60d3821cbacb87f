// The programs of docs/testing.md, compiled and run as their readers do: a package in node_modules, and each runner with its
// files in parallel processes on one PostgreSQL.
import { execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
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
import { promisify } from 'node:util'
import postgres from 'postgres'
import t from 'tap'
import { startPostgres } from '../../stack/servers/postgres.js'
import { until } from '../until.js'
import { compilePrograms, copiesFor, nameless, writePrograms } from './testing-page.js'

const SERVER = 'distributed-tenant-test-'
const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'a-service-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

writePrograms(folder)
writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}')

// As npm would lay it out, but for the copies: the package, and beside it what its reader has installed.
const modules = join(folder, 'node_modules')
mkdirSync(modules)
const { name, files } = JSON.parse(readFileSync('package.json', 'utf8')) as { name: string; files: string[] }
for (const entry of readdirSync('node_modules')) {
  if (!entry.startsWith('.') && entry !== name) symlinkSync(resolve('node_modules', entry), join(modules, entry))
}
for (const file of ['package.json', ...files.filter(file => file.startsWith('dist/'))]) {
  cpSync(file, join(modules, name, file), { recursive: true })
}

t.test('every program compiles', async t => {
  t.equal(nameless, 0, 'each has a name')
  await compilePrograms(folder)
})

t.test('in each runner, with parallel processes', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { host, port, user, password } = server
  const look = postgres({ host, port, user, password, database: 'postgres', max: 1, onnotice() {} })
  t.teardown(() => look.end({ timeout: 1 }))
  const left = async () => {
    const rows = await look<{ name: string }[]>`
      select datname as name from pg_database where datname not in ('postgres', 'template0', 'template1')
      union all select rolname from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres'`
    return rows.map(({ name }) => name)
  }
  const own = join(folder, 'tmp')
  mkdirSync(own)
  for (const path of [folder, own]) chmodSync(path, 0o711)
  const env = {
    PATH: process.env.PATH,
    TMPDIR: own,
    TEST_DATABASE_URL: `postgres://${user}:${password}@${host}:${port}/postgres`,
  }
  const node = (args: string[], more = {}) => run(process.execPath, args, { cwd: folder, env: { ...env, ...more } })

  t.test('node:test', async t => {
    const { stdout } = await node([
      '--test',
      '--test-reporter=tap',
      'handler.test.js',
      ...copiesFor(folder, 'node:test'),
    ])
    t.match(stdout, /^# pass 5$/m)
    t.match(stdout, /^# fail 0$/m)
    t.same(await left(), [])
  })

  t.test('tap', async t => {
    const ran = await Promise.all(copiesFor(folder, 'tap').map(file => node([file], { TAP_TIMEOUT: '300' })))
    for (const { stdout } of ran) t.match(stdout, /^# \{ total: 2, pass: 2 \}$/m)
    t.same(await left(), [])
  })

  t.test('Vitest, with the server of its global set-up', async t => {
    const config = `export default { test: { globalSetup: './global-setup.js', testTimeout: 300_000, hookTimeout: 300_000 } }`
    writeFileSync(join(folder, 'vitest.config.js'), config)
    const { TEST_DATABASE_URL: _, ...without } = env
    const args = [join(modules, 'vitest/vitest.mjs'), 'run', '--reporter=tap', ...copiesFor(folder, 'vitest')]
    const { stdout } = await run(process.execPath, args, { cwd: folder, env: without })
    t.equal(stdout.match(/^ +ok /gm)?.length, 4, stdout)
    t.notMatch(stdout, /^ *not ok/m)
    await until('the server is gone', () => !readdirSync(own).some(name => name.startsWith(SERVER)))
  })
})
