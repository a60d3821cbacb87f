// The published package: what is in it, what it depends on, and what a user's project gets from it.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import t from 'tap'
import { SUPPORTED } from '../../orms/kysely/library.js'
import { optionalPeers, type Supported } from '../../plugins/distributed-tenant/optional-peer.js'
import { compile, makeProject, manifest, name, optional, pack, run } from './project.js'

const { subset } = createRequire(import.meta.url)('semver') as { subset(range: string, of: string): boolean }
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages as Record<
  string,
  { engines?: { node?: string }; dependencies?: Record<string, string> }
>
const packed = pack(t)

/** With the types of Node and of the application's Fastify, and nothing that is optional. */
const least = ['fastify', '@types/node', 'undici-types']

t.test('it has the compiled entries and their types, no sources’ maps, no example services', async t => {
  for (const [entry, file] of Object.entries(manifest.exports)) {
    t.ok(packed.files.includes(file.slice(2)), entry)
    t.ok(packed.files.includes(file.slice(2).replace(/js$/, 'd.ts')), `types of ${entry}`)
  }
  t.same(
    packed.files.filter(file => /\.map$|^dist\/(services|test|bench|stack)(\/|$)|tsbuildinfo/.test(file)),
    [],
  )
  t.match(manifest.scripts.prepack, /npm run build/)
  const place = 'github.com/fastify-distributed-tenant/fastify-distributed-tenant'
  t.equal(manifest.repository.url, `git+https://${place}.git`)
  t.equal(manifest.bugs, `https://${place}/issues`)
  t.equal(manifest.homepage, `https://${place}#readme`)
})

t.test('it has the console’s page with its libraries, their licences, and compressed copies', async t => {
  const page = 'dist/plugins/console/public/'
  for (const file of ['index.html', 'app.js', 'console.css', 'pages/tenants.js', 'vendor/preact.js', 'vendor/uplot.js'])
    for (const copy of ['', '.br', '.gz']) t.ok(packed.files.includes(page + file + copy), file + copy)
  for (const library of ['preact', 'htm', 'uplot'])
    t.ok(packed.files.includes(`${page}vendor/${library}.LICENSE.txt`), library)
  t.notOk(
    packed.files.some(file => file.startsWith('docs/images/')),
    'no pictures',
  )
})

t.test('publint finds nothing', async t => {
  const { messages } = await publint({ pkgDir: packed.folder, pack: false, strict: true })
  t.same(messages, [])
})

t.test('attw finds nothing: ESM alone, which `require` of Node 20.19 and later loads too', async t => {
  const found = await checkPackage(createPackageFromTarballData(readFileSync(packed.tarball)))
  // node10 reads no `exports`. That the types are those of ESM is true, and what the profile `esm-only` leaves out.
  const problems = found.types ? found.problems : [{ kind: 'no types' }]
  t.same(
    problems.filter(problem => {
      const { kind, resolutionKind } = problem as { kind: string; resolutionKind?: string }
      return resolutionKind !== 'node10' && kind !== 'CJSResolvesToESM'
    }),
    [],
  )
})

t.test('every dependency runs on every Node that the package names', async t => {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    const { engines, dependencies = {} } = lock[path] ?? {}
    if (path !== '') t.ok(subset(manifest.engines.node, engines?.node ?? '*'), `${path}: ${engines?.node}`)
    for (const one of Object.keys(path === '' ? manifest.dependencies : dependencies)) {
      const nested = `${path}/node_modules/${one}`
      visit(path !== '' && nested in lock ? nested : `node_modules/${one}`)
    }
  }
  visit('')
  t.ok(seen.size > 8, `${seen.size} packages`)
})

t.test('dependencies have ranges, but for the driver; ranges of peers are those that are checked', async t => {
  const pinned = Object.entries(manifest.dependencies).filter(([, range]) => !range.startsWith('^'))
  t.same(
    pinned.map(([one]) => one),
    ['postgres'],
  )
  t.notOk('fastify' in manifest.dependencies)
  t.notOk('fastify' in manifest.peerDependenciesMeta)
  const checked: Record<string, string> = { kysely: SUPPORTED }
  for (const [one, supported] of Object.entries(optionalPeers)) {
    checked[one] = (supported as readonly Supported[]).map(({ major, minor }) => `^${major}.${minor}.0`).join(' || ')
  }
  const { fastify, ...others } = manifest.peerDependencies
  t.same(others, checked)
  t.equal(fastify, `^${JSON.parse(readFileSync('node_modules/fastify-oldest/package.json', 'utf8')).version}`)
})

const usage = `
import Fastify from 'fastify'
import { distributedTenant, TenantRequired } from '${name}'
import drain from '${name}/drain'
import health from '${name}/health'

export const app = Fastify()
await app.register(distributedTenant, { migrations: { tenant: new URL('./migrations/', import.meta.url) } })
await app.register(drain)
await app.register(health)
export const routes = app.get('/', { config: { tenant: 'required' } }, async request => {
  const rows = await request.sql<{ id: number }[]>\`select 1 as id\`
  return rows[0]?.id satisfies number | undefined
})
export const tenants = app.tenants
export const central = app.central
export const options = { plugin: distributedTenant }
export function narrowed(error: unknown) {
  if (error instanceof TenantRequired) return error.code satisfies 'TENANT_REQUIRED'
  return null
}
`
const withoutAwait = usage
  .replace(/await app/g, 'void app')
  .replace("new URL('./migrations/', import.meta.url)", "'./migrations'")

const withPeers = `
import type { FastifyRequest } from 'fastify'
import { tokens } from '${name}/tokens'
import { metrics } from '${name}/metrics'
import console, { operatorsByToken } from '${name}/console'
import operator, { operatorTokens } from '${name}/operator'
import { openapi } from '${name}/openapi'
import { tracing } from '${name}/tracing'
import { TenantDialect } from '${name}/kysely'
import { Pool } from '${name}/pg'
import { errors } from '${name}/errors'
import * as audit from '${name}/audit'
import * as events from '${name}/events'
import * as limits from '${name}/limits'
import * as overload from '${name}/overload'

export const user = (request: FastifyRequest) => request.user?.sub satisfies string | undefined
export const all = { tokens, metrics, openapi, tracing, TenantDialect, Pool, errors, audit, events, limits, overload, operator, operatorTokens, console, operatorsByToken }
`

const nodenext = { module: 'nodenext', skipLibCheck: false }
const peers = [
  '@fastify/jwt',
  '@fastify/sse',
  '@fastify/static',
  '@fastify/swagger',
  '@fastify/swagger-ui',
  '@opentelemetry/api',
  'prom-client',
  'kysely',
  'pg',
  '@types/pg',
]

for (const pnpm of [false, true]) {
  t.test(`its types compile in a project of ${pnpm ? 'pnpm' : 'npm'}`, async t => {
    const project = makeProject(t, packed, { packages: least, pnpm })
    const others = [
      { module: 'node16', skipLibCheck: false },
      { module: 'preserve', moduleResolution: 'bundler', skipLibCheck: false },
    ]
    // How a package is found differs by layout, what the options make of it does not.
    for (const options of pnpm ? [nodenext] : [nodenext, ...others]) {
      t.equal(compile(project, { 'main.ts': usage }, options), '', `${options.module}`)
    }
    if (!pnpm) t.equal(compile(project, { 'main.ts': withoutAwait }, nodenext, 'commonjs'), '', 'CommonJS')
    const whole = makeProject(t, packed, { packages: [...least, ...peers], pnpm })
    t.equal(compile(whole, { 'main.ts': usage, 'peers.ts': withPeers }, nodenext), '', 'with its peers')
  })
}

t.test('the oldest Fastify is the only one, in types and at run time', async t => {
  const packages = least.map(one => (one === 'fastify' ? 'fastify=fastify-oldest' : one))
  const project = makeProject(t, packed, { packages })
  t.equal(compile(project, { 'main.ts': usage }, nodenext), '')
  const resolve = createRequire(join(project, 'node_modules', name, 'dist/plugins/drain.js')).resolve
  t.match(resolve('fastify'), /fastify-oldest/)
})

t.test('an entry without its peer names the line that installs it, and the others load', async t => {
  const project = makeProject(t, packed, { packages: ['fastify'] })
  const text = `for (const entry of ${JSON.stringify(Object.keys(manifest.exports))}) {
    const loaded = await import('${name}' + entry.slice(1)).catch(error => error)
    if (loaded instanceof Error) console.log(entry + ' ' + loaded.code + ' ' + loaded.message)
  }`
  const { out, err } = run(project, 'module', text)
  t.equal(err, '')
  const lines = out.split('\n')
  t.same(
    lines
      .sort()
      .map(line => /^(\S+) CONFIGURATION_INVALID .*run `npm install (\S+)@[\d.]+`\.$/.exec(line)?.slice(1) ?? line),
    [
      ['./console', '@fastify/static'],
      ['./kysely', 'kysely'],
      ['./metrics', 'prom-client'],
      ['./openapi', '@fastify/swagger'],
      ['./pg', 'pg'],
      ['./prisma', 'pg'],
      ['./tokens', '@fastify/jwt'],
      ['./tracing', '@opentelemetry/api'],
    ],
  )
  t.ok(optional.includes('ioredis'))
  const redis = run(
    project,
    'module',
    `const { connectRedis } = await import('${name}'); try { connectRedis('redis://localhost', 'x') } catch (error) { console.log(error.message) }`,
  )
  t.match(redis.out, /npm install ioredis@6/)
})

t.test('CommonJS requires it', async t => {
  const project = makeProject(t, packed, { packages: ['fastify'] })
  const { out, err } = run(project, 'commonjs', `console.log(typeof require('${name}').distributedTenant)`)
  t.same([out, err], ['function', ''])
})

t.test('its command answers in an empty folder', async t => {
  const project = makeProject(t, packed, { packages: ['fastify'] })
  const bin = join(project, 'node_modules/.bin/distributed-tenant')
  mkdirSync(join(project, 'node_modules/.bin'))
  symlinkSync(`../${name}/dist/cli/main.js`, bin)
  const empty = join(project, 'empty')
  mkdirSync(empty)
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, '--help'], { cwd: empty, encoding: 'utf8' })
  t.same([status, stderr], [0, ''])
  t.match(stdout, /^Usage: distributed-tenant/)
})
