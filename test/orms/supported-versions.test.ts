// A library of another version than those that are supported is refused by the range; and the oldest
// `pg` that is claimed does as the newest.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { TenantDialect } from '../../orms/kysely/index.js'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'
import { refuseOthers } from '../../plugins/distributed-tenant/optional-peer.js'
import { makeFolder } from '../../stack/servers/folder.js'

const run = promisify(execFile)
const own = JSON.parse(readFileSync('package.json', 'utf8'))

t.test('each range ends before the next major version', async t => {
  const of = (version: string | null) => () => refuseOthers('pg', version)
  for (const version of ['8.16.0', '8.16.3', '8.23.1', '8.100.0']) t.doesNotThrow(of(version), version)
  for (const version of ['8.15.9', '7.18.2', '9.0.0', '0.8.16', null]) {
    t.throws(of(version), { code: 'CONFIGURATION_INVALID', message: /\^8\.16\.0 is supported/ })
  }
})

/** A copy of what was built, beside the installed packages, one of which is another. */
function withPackage(t: Test, name: string, put: (path: string) => void, parts: readonly string[]): string {
  const folder = makeFolder()
  t.teardown(() => folder.remove())
  const link = (from: string, to: string) => {
    for (const entry of readdirSync(from)) {
      const scope = entry.startsWith('@') && name.startsWith(`${entry}/`)
      if (entry === name || entry === name.split('/')[1]) continue
      if (scope) {
        mkdirSync(join(to, entry))
        link(join(from, entry), join(to, entry))
      } else symlinkSync(resolve(from, entry), join(to, entry))
    }
  }
  mkdirSync(join(folder.path, 'node_modules'))
  link('node_modules', join(folder.path, 'node_modules'))
  put(join(folder.path, 'node_modules', name))
  for (const part of parts) cpSync(join('dist', part), join(folder.path, 'dist', part), { recursive: true })
  for (const beside of ['package.json', 'test', 'docs']) symlinkSync(resolve(beside), join(folder.path, beside))
  return folder.path
}

/** What an entry of an ORM imports. */
const product = ['orms', 'plugins', 'postgres', 'events', 'files', 'timing']

const fake = (name: string, version: string) => (path: string) => {
  mkdirSync(path)
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, version, main: 'index.js' }))
  writeFileSync(join(path, 'index.js'), 'module.exports = {}')
}

for (const [entry, name, version, call] of [
  ['pg', 'pg', '8.10.0', ''],
  ['kysely', 'kysely', '0.27.6', ''],
  ['prisma', '@prisma/adapter-pg', '6.19.0', 'createPrisma({ tenants: {} }, () => ({}))'],
  ['prisma', '@prisma/client', '7.9.0', 'createPrisma({ tenants: {} }, () => ({}))'],
] as const) {
  t.test(`${name} ${version} is refused by the range`, async t => {
    const folder = withPackage(t, name, fake(name, version), product)
    const program = `const { createPrisma } = await import('./dist/orms/${entry}/index.js'); ${call}`
    const failed = await run(process.execPath, ['--input-type=module', '-e', program], { cwd: folder }).then(
      () => null,
      error => error as { stderr: string },
    )
    const range = own.peerDependencies[name]
    t.match(failed?.stderr, `The installed \`${name}\` is ${version} and ${range} is supported`)
  })
}

// MikroORM 6 reads `driverOptions.context`, and nothing else of a dialect.
t.test('MikroORM 6 does not leave the dialect aside', async t => {
  const dialect = new TenantDialect({ tenants: { follow: () => () => ({}) as SqlClient } })
  t.throws(() => dialect.context, { code: 'CONFIGURATION_INVALID', message: /\^7\.0\.0 is supported/ })
})

t.test('the oldest `pg` that is claimed', { timeout: 2_390_000 }, async t => {
  const { version } = JSON.parse(readFileSync('node_modules/pg-oldest/package.json', 'utf8'))
  t.equal(own.peerDependencies.pg, `^${version}`)
  const folder = withPackage(t, 'pg', path => symlinkSync(resolve('node_modules/pg-oldest'), path), [
    ...product,
    ...['operations', 'stack', 'test/orms'],
    ...readdirSync('dist/test')
      .filter(file => file.endsWith('.js'))
      .map(file => `test/${file}`),
  ])
  await t.resolves(run(process.execPath, ['dist/test/orms/pg.test.js'], { cwd: folder, maxBuffer: 2 ** 24 }))
})
