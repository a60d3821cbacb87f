// A real pg_upgrade of a service's instance: refused as the service leaves it, done after `pg-upgrade prepare`, and put back by
// `pg-upgrade finish`. From this machine's PostgreSQL to the one whose programs PG_UPGRADE_TO names; without it to the same
// version, as Debian has one: what pg_upgrade wants of the old server's databases is the same. PG_UPGRADE_FROM names another
// old server: from 15.20 a version of an older round, such as 18.6, cannot be reached (docs/major-versions.md).
import { execFile, execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import postgres from 'postgres'
import t from 'tap'
import { distributedTenant } from '../../plugins/distributed-tenant/index.js'
import { findServers } from '../../stack/servers/find.js'
import { randomPassword } from '../../stack/servers/folder.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { serverOwner } from '../../stack/servers/postgres-cluster.js'
import { notes, roleSecret } from '../rig.js'
import { until } from '../until.js'
import { operatorCommands } from './operator-commands.js'

const own = findServers().postgres.bin
const older = process.env.PG_UPGRADE_FROM || own
const newer = process.env.PG_UPGRADE_TO || own
const majorOf = (bin: string) =>
  Number(/ (\d+)/.exec(execFileSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }))?.[1])

t.test(`pg_upgrade from PostgreSQL ${majorOf(older)} to ${majorOf(newer)}`, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'pg-upgrade-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const owner = serverOwner()
  const password = randomPassword()
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password)
  for (const path of [folder, passwordFile]) if (owner) chownSync(path, owner.uid, owner.gid)
  // It writes its logs into the current folder.
  const program = (bin: string, name: string, ...args: string[]) =>
    new Promise<{ code: number; out: string }>(resolve => {
      const env = { PATH: process.env.PATH, PGPASSWORD: password }
      execFile(join(bin, name), args, { cwd: folder, env, maxBuffer: 1 << 26, ...owner }, (error, out, err) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err })
      })
    })
  const done = async (...all: Parameters<typeof program>) => {
    const { code, out } = await program(...all)
    if (code !== 0) throw new Error(`${all[1]} ended with ${code}: ${out}`)
    return out
  }
  const make = (bin: string, name: string) => {
    const args = ['-D', join(folder, name), '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
    const checksums = majorOf(bin) >= 18 ? ['--no-data-checksums'] : []
    return done(bin, 'initdb', ...args, '-E', 'UTF8', '--locale=C', '--no-sync', ...checksums)
  }
  const start = async (bin: string, name: string) => {
    const server = await startPostgres({ dir: folder, name, bin, password, existing: true })
    const { port } = server
    const look = (database = 'postgres') => {
      const sql = postgres({ host: '127.0.0.1', port, user: 'postgres', password, database, max: 1, onnotice() {} })
      looks.push(sql)
      return sql
    }
    const looks: postgres.Sql[] = []
    const stop = async () => {
      for (const sql of looks) await sql.end({ timeout: 1 })
      await server.stop()
    }
    t.teardown(stop)
    return { port, look, stop }
  }
  const work = join(folder, 'work')
  mkdirSync(work)
  const { alone } = operatorCommands(t, work)
  const environment = (port: number) => ({
    SERVICE_NAME: 'core-service',
    DB_HOST: '127.0.0.1',
    DB_PORT: String(port),
    DB_USERNAME: 'core_service',
    DB_PASSWORD: 'a-password-of-the-tests',
    TENANT_ROLE_SECRET: roleSecret,
    TENANT_MIGRATIONS: notes,
    NATS_URL: '',
    REDIS_URL: '',
    INIT_PASSWORD: password,
  })
  const commandAt = (port: number) => async (code: number, args: string[]) => {
    const outcome = await alone(args, environment(port))
    t.equal(outcome.code, code, `${args.join(' ')}: ${outcome.out}${outcome.err}`)
    return outcome
  }
  const serve = async (port: number) => {
    const app = Fastify({ pluginTimeout: 0 })
    t.teardown(() => app.close())
    const { DB_USERNAME: user, DB_PASSWORD: secret } = environment(port)
    await app.register(distributedTenant, {
      service: 'core',
      database: { host: '127.0.0.1', port, user, password: secret },
      migrations: { tenant: notes },
      nats: null,
      redis: null,
      source: false,
      roleSecret,
      spares: 1,
    })
    await app.ready()
    return app
  }
  const closedAt = (sql: postgres.Sql) => sql<{ name: string; open: boolean; template: boolean }[]>`
    select datname as name, datallowconn as open, datistemplate as template from pg_database
    where datname ~ '^(template_|spare_|moved_)' order by 1`
  const upgrade = (...more: string[]) => [
    ...['-b', older, '-B', newer, '-d', join(folder, 'old'), '-D', join(folder, 'new'), '-U', 'postgres'],
    ...more,
  ]

  await make(older, 'old')
  const old = await start(older, 'old')
  const before = commandAt(old.port)
  await before(0, ['init', '--no-write-env'])
  const app = await serve(old.port)
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await app.tenants.run('acme', ({ sql }) => sql`insert into notes (body) values ('kept')`)
  const spares = () => old.look()`select 1 from pg_database where datname ~ '^spare_core_' and not datallowconn`
  await until('a spare is made', async () => (await spares()).length > 0)
  const blocked = await before(1, ['pg-upgrade', 'prepare'])
  t.match(blocked.err, /core has \d+ sessions open with its role: stop every process/)
  await app.close()
  // As a move leaves it, and as a kill leaves the creation of a database.
  await old.look().unsafe('create database moved_gone_core owner core_service allow_connections false')
  await old.look().unsafe('create database tenant_half_core owner core_service allow_connections false')
  const asMade = await closedAt(old.look())
  t.ok(
    asMade.every(({ open }) => !open),
    'all are closed',
  )

  await t.test('it refuses the instance as the service leaves it', async t => {
    await make(newer, 'new')
    await old.stop()
    const { code, out } = await program(newer, 'pg_upgrade', ...upgrade('--check'))
    t.not(code, 0)
    t.match(out, /must allow connections|datallowconn/)
  })

  const again = await start(older, 'old')
  const command = commandAt(again.port)
  await t.test('prepare opens them to their owner alone, and once', async t => {
    const shown = JSON.parse((await command(0, ['--json', 'pg-upgrade', 'prepare', '--dry-run'])).out)
    const kinds = shown.instances[0].databases.map(
      (one: { kind: string; outcome: string }) => `${one.kind} ${one.outcome}`,
    )
    t.same([...new Set(kinds)].sort(), ['moved to open', 'spare to open', 'template to open', 'unfinished to open'])
    t.same(await closedAt(again.look()), asMade, 'a dry run changes nothing')
    await command(0, ['pg-upgrade', 'prepare'])
    t.ok((await closedAt(again.look())).every(({ open }) => open))
    const [{ count } = { count: 0 }] = await again.look()<{ count: number }[]>`
      select count(*)::int from pg_database where datname ~ '_core' and has_database_privilege('public', oid, 'CONNECT')`
    t.equal(count, 0, 'PUBLIC may enter none')
    const second = JSON.parse((await command(0, ['--json', 'pg-upgrade', 'prepare'])).out)
    for (const { name, outcome } of second.instances[0].databases) t.equal(outcome, 'as it should be', name)
  })

  await again.stop()
  t.match(await done(newer, 'pg_upgrade', ...upgrade('--no-sync')), /Upgrade Complete/)
  const now = await start(newer, 'new')
  const after = commandAt(now.port)
  const first = await after(0, ['pg-upgrade', 'finish'])
  if (majorOf(newer) >= 16)
    t.match(first.out, /core_service has no ADMIN OPTION on \d+ of its roles: run `distributed-tenant init/)
  t.same(await closedAt(now.look()), asMade, 'all are as they were')
  await after(0, ['init', '--no-write-env'])
  const last = JSON.parse((await after(0, ['--json', 'pg-upgrade', 'finish'])).out)
  for (const { name, outcome } of last.instances[0].databases) t.equal(outcome, 'as it should be', name)
  t.same(last.instances[0].obstacles, [])

  const served = await serve(now.port)
  t.match(await served.tenants.run('acme', ({ sql }) => sql`select body from notes`), [{ body: 'kept' }])
  await served.tenants.create({ id: 'initech', name: 'Initech' })
  await served.tenants.run('initech', ({ sql }) => sql`insert into notes (body) values ('new')`)
})
