// The page docs/testing.md in Jest, a program: `npm run jest`. Jest is no package of this repository: it would bring 248 more, and
// before Node 24.9 an override of `cookie`, on which every other test would then run too. So it is installed in a folder of its
// own, beside the packed package, and the folder is removed at the end. Needs the registry; the nightly build runs it.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { startPostgres } from '../../stack/servers/postgres.js'
import { compilePrograms, copiesFor, writePrograms } from './testing-page.js'

const JEST = '30.5.2'
const run = promisify(execFile)
const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const loadsModules = major > 24 || (major === 24 && minor >= 9)

const folder = mkdtempSync(join(tmpdir(), 'in-jest-'))
const server = await startPostgres()
try {
  writePrograms(folder)
  const { stdout: tarball } = await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder])
  const own = {
    type: 'module',
    private: true,
    dependencies: {
      'fastify-distributed-tenant': `file:${tarball.trim()}`,
      ...versionsOf('fastify', '@fastify/jwt'),
    },
    devDependencies: { jest: JEST, '@jest/globals': JEST, ...versionsOf('@types/node') },
    ...(!loadsModules && { overrides: { cookie: '^1.0.2' } }),
    jest: { testTimeout: 300_000, testMatch: ['**/*-jest-globals.test.js'], transform: {} },
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(own))
  await run('npm', ['install', '--no-audit', '--no-fund', '--silent'], { cwd: folder })
  await compilePrograms(folder)
  const files = copiesFor(folder, '@jest/globals')
  const { host, port, user, password } = server
  const env = {
    PATH: process.env.PATH,
    NODE_OPTIONS: '--experimental-vm-modules',
    TEST_DATABASE_URL: `postgres://${user}:${password}@${host}:${port}/postgres`,
  }
  const jest = resolve(folder, 'node_modules/jest/bin/jest.js')
  const { stderr } = await run(process.execPath, [jest, ...files], { cwd: folder, env })
  if (!/^Tests: +4 passed, 4 total$/m.test(stderr)) throw new Error(stderr)
  process.stdout.write(`docs/testing.md in Jest ${JEST} on Node ${process.versions.node}: 4 passed\n`)
} catch (error) {
  const { message, stdout = '', stderr = '' } = error as Error & { stdout?: string; stderr?: string }
  process.stderr.write(`${message}\n${stdout}${stderr}\n`)
  process.exitCode = 1
} finally {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
}

function versionsOf(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map(name => [name, devDependencies[name]]))
}
