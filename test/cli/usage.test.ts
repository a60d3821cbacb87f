// Calls of the operator's command: its help, and its errors after wrong calls. Nothing here connects.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { operatorCommands } from './operator-commands.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'cli-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const config = join(folder, 'config.json')
const service = {
  url: 'http://127.0.0.1:1',
  database: { host: '127.0.0.1', port: 1, user: 'absent', password: 'none' },
}
writeFileSync(
  config,
  JSON.stringify({ services: { identity: service, employee: service, core: service }, adminToken: 'x' }),
)
writeFileSync(join(folder, 'broken.json'), '{')

const commands = operatorCommands(t, folder)
const bare = commands.run

t.test('it lists its commands, and the usage of each', async t => {
  const { code, out } = await commands.alone(['--help'])
  t.equal(code, 0)
  const listed = [...out.matchAll(/^ {2}([a-z]+)[ [<]/gm)].map(([, name]) => name as string)
  t.ok(listed.length > 15, listed.join(' '))
  for (const name of listed.filter(name => name !== 'help')) {
    const help = await bare([name, '--help'])
    t.equal(help.code, 0, name)
    t.match(help.out, `Usage: distributed-tenant ${name}`)
    t.match(help.out, /--json/, `${name} shows the options all commands share`)
  }
})

t.test('it prints its version, and answers an unknown command in three lines with the nearest one', async t => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.same(await commands.alone(['--version']), { code: 0, out: `${version}\n`, err: '' })
  const { code, out, err } = await commands.alone(['migrat'])
  t.same({ code, out }, { code: 2, out: '' })
  t.equal(err, "error: unknown command 'migrat'\n(Did you mean migrate?)\nTry --help.\n")
})

t.test('after a wrong call it names the fault, does nothing and ends with 2', async t => {
  const wrong: [args: string[], says: RegExp][] = [
    [['nothing'], /unknown command/],
    [['list', '--servce', 'core'], /unknown option/],
    [['show'], /missing required argument/],
    [['create', 'Acme', '--settings', '[]'], /no JSON object/],
    [['create', 'Acme', '--wait', 'long'], /whole number/],
    [['status', '--service', 'payroll'], /no service payroll.*identity, employee, core/],
    [['migrate', '--resume', 'x'], /--service/],
    [['migrate', '--service', 'core', '--resume', 'x', '--rollback', 'y'], /cannot be used with/],
    [['migrate', '--max-failures', '200'], /percentage/],
    [['psql', 'acme'], /--service/],
    [['move', 'acme', '--to', 'b'], /--service/],
    [['move', 'acme', '--service', 'core'], /--to is missing/],
    [['move', '--service', 'core'], /Name a tenant/],
    [['move', '--service', 'core', '--resume', 'x', '--rollback', 'y'], /cannot be used with/],
    [['remove', 'acme'], /--yes/],
    [['backup'], /Name a tenant/],
    [['backup', 'acme', '--all', '--to', 'x'], /Name a tenant/],
    [['backup', '--all'], /--to/],
    [['restore', 'x.tar', '--name', 'Acme'], /--as/],
    [['restore', 'x.tar', '--as', 'acme', '--replace'], /cannot be used with/],
    [['export', 'acme'], /--to/],
    [['export', 'acme', '--to', 'x', '--format', 'xml'], /jsonl, csv/],
    [['dead', 'show', '1'], /--service/],
    [['dead', 'bury'], /unknown command/],
    [['doctor', '--fix'], /TENANT_ROLE_SECRET/],
    [['resync', '--service', 'core', '--yes'], /makes tenants/],
    [['audit', 'verify', '--heads', 'broken.json'], /cannot be read/],
    [['create', 'Acme', '--id', 'admin'], /reserved/],
    [['restore', 'x.tar', '--as', 'admin'], /reserved/],
    ...[
      ['show', 'Acme_Inc'],
      ['suspend', 'Acme_Inc'],
      ['activate', 'Acme_Inc'],
      ['remove', 'Acme_Inc', '--yes'],
      ['retry', 'Acme_Inc'],
      ['create', 'Acme', '--id', 'Acme_Inc'],
      ['migrate', '--tenant', 'acme,Acme_Inc'],
      ['migrate', '--canary', 'Acme_Inc'],
      ['move', 'Acme_Inc', '--to', 'b', '--service', 'core'],
      ['verify', 'Acme_Inc'],
      ['backup', 'Acme_Inc'],
      ['restore', 'x.tar', '--as', 'Acme_Inc'],
      ['restore', 'x.tar', '--tenant', 'Acme_Inc'],
      ['export', 'Acme_Inc', '--to', 'x'],
      ['run', '--tenant', 'Acme_Inc', '--', 'true'],
      ['psql', 'Acme_Inc', '--service', 'core'],
      ['purge', 'Acme_Inc'],
    ].map((args): [string[], RegExp] => [args, /tenant id is malformed/]),
  ]
  for (const [args, says] of wrong) {
    const { code, err } = await bare(['--config', config, ...args])
    t.equal(code, 2, `${args.join(' ')}: ${err}`)
    t.match(err, says)
  }
})

t.test('it names the places it read when none has the services', async t => {
  const nowhere = await bare(['status'])
  t.equal(nowhere.code, 2)
  t.match(nowhere.err, /No services are configured/)
  t.equal((await bare(['--config', 'broken.json', 'status'])).code, 2)
  t.equal((await bare(['--config', 'missing.json', 'status'])).code, 2)
})

t.test('an unreachable server is reported as unreachable, and ends with 1', async t => {
  const identity = await bare(['--config', config, 'list'])
  t.equal(identity.code, 1)
  t.match(identity.err, /identity at .* does not answer/)
  const database = await bare(['--config', config, 'status', '--service', 'core'])
  t.equal(database.code, 1)
  t.match(
    database.err,
    /The central database of core \(127\.0\.0\.1:1\) cannot be reached: check that it runs.*ECONNREFUSED/,
  )
  for (const args of [
    ['import-hybrid', '--from', 'postgres://absent@127.0.0.1:1/x', '--yes'],
    ['move', 'acme', '--to', 'b', '--service', 'core', '--yes'],
  ]) {
    const { code, err } = await bare(['--config', config, ...args])
    t.equal(code, 1, err)
    t.match(err, /The central database \w+ at 127\.0\.0\.1:1 cannot be used as absent .*ECONNREFUSED.*: check DB_HOST/)
  }
})

t.test('its help loads no large package: a command loads its own when it runs', t => {
  const packages = new Set<string>()
  const seen = new Set<string>()
  const walk = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, to = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)\s(?:[^'"();]*?\bfrom\s)?['"]([^'"]+)['"]/gm,
    )) {
      if (to.startsWith('.')) walk(join(dirname(file), to))
      else packages.add(to.split('/')[0] as string)
    }
  }
  walk(program)
  const list = join(dirname(program), 'program.js')
  for (const [, to = ''] of readFileSync(list, 'utf8').matchAll(/import\('(\.\/commands\/[^']+)'\)/g)) {
    walk(join(dirname(list), to))
  }
  t.ok(packages.has('commander') && seen.size > 15, 'the check finds imports')
  const large = ['env-schema', 'fastify', 'ioredis', 'nats', 'typebox']
  t.same(
    large.filter(name => packages.has(name)),
    [],
  )
  t.end()
})
