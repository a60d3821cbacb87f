// A service whose PostgreSQL is a primary and a standby: the primary is killed under requests and creations, the standby is
// promoted, and the former primary comes back as a standby that stands first in DB_HOST. In a process of its own: the servers.
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import postgres from 'postgres'
import t from 'tap'
import { bootstrap } from '../../../../operations/init/bootstrap.js'
import { addressOf } from '../../../../plugins/distributed-tenant/config/servers.js'
import { distributedTenant } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'
import { randomPassword } from '../../../../stack/servers/folder.js'
import { freePort } from '../../../../stack/servers/ports.js'
import { startPostgres } from '../../../../stack/servers/postgres.js'
import { serverOwner } from '../../../../stack/servers/postgres-cluster.js'
import { startStandby } from '../../../../stack/servers/standby.js'
import { operatorCommands } from '../../../cli/operator-commands.js'
import { notes, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('a promotion under requests and creations', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'failover-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const owner = serverOwner()
  if (owner) chownSync(folder, owner.uid, owner.gid)
  const password = randomPassword()
  // Commits wait for the standby, so that a promotion loses none.
  const first = await startPostgres({ dir: folder, name: 'first', password })
  t.teardown(() => first.stop())
  const standby = await startStandby(first, { dir: folder, name: 'second' })
  t.teardown(() => standby.stop())
  const look = (port: number, database = 'postgres') => {
    const sql = postgres({ host: '127.0.0.1', port, user: 'postgres', password, database, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  const primary = look(first.port)
  await primary.unsafe(`alter system set synchronous_standby_names = '*'`)
  await primary`select pg_reload_conf()`
  await until('the standby follows', async () => {
    const rows = await primary`select 1 from pg_stat_replication where state = 'streaming'`
    return rows.length > 0
  })

  const user = 'core_service'
  const secret = 'a-password-of-the-tests'
  const login = { database: 'core_central', user, password: secret, ssl: 'disable', sslRootCert: undefined } as const
  const hosts = ['127.0.0.1,127.0.0.1', `${first.port},${standby.port}`] as const
  // By the list as well: the operator's command finds the primary, here behind the standby.
  await bootstrap({
    service: parseServiceName('core'),
    database: { ...addressOf('127.0.0.1,127.0.0.1', `${standby.port},${first.port}`), ...login },
    superuser: { user: 'postgres', password },
    onStep: () => {},
  })
  const app = Fastify({ pluginTimeout: 0, logger: process.env.TEST_LOG ? { level: process.env.TEST_LOG } : false })
  t.teardown(() => app.close())
  await app.register(distributedTenant, {
    service: 'core',
    database: { host: hosts[0], port: hosts[1], ...login },
    migrations: { tenant: notes },
    nats: null,
    redis: null,
    source: false,
    roleSecret,
    spares: 1,
    connectTimeout: 20_000,
    maxConnections: 10,
  })
  await app.ready()
  const tenants = ['acme', 'globex', 'initech', 'umbrella']
  for (const id of tenants) await app.tenants.create({ id, name: id })

  let stop = false
  t.teardown(() => {
    stop = true
  })
  const kept = new Map<string, string>()
  const failures: { at: number; code: unknown }[] = []
  const times = { killed: Number.POSITIVE_INFINITY, promoted: Number.POSITIVE_INFINITY, success: 0 }
  let written = 0
  let made = 0
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    const at = performance.now()
    try {
      await work()
      if (at > times.promoted && times.success === 0) times.success = performance.now()
    } catch (error) {
      failures.push({ at, code: (error as { code?: unknown }).code })
      await sleep(20)
    }
  }
  const writer = async (id: string): Promise<void> => {
    while (!stop) {
      const body = `${id}-${written++}`
      await attempt(async () => {
        await app.tenants.run(id, ({ sql }) => sql`insert into notes (body) values (${body})`)
        kept.set(body, id)
      })
      await sleep(10)
    }
  }
  const created: string[] = []
  const creator = async (): Promise<void> => {
    while (!stop) {
      const id = `new${made++}`
      await attempt(async () => {
        await app.tenants.create({ id, name: id })
        created.push(id)
      })
      await sleep(50)
    }
  }
  const load = Promise.all([...tenants.map(writer), creator()])
  await until('all kinds of work were done', () => kept.size > 50 && created.length > 0)
  t.same(failures, [], 'nothing fails while there is a primary')

  times.killed = performance.now()
  await first.kill()
  await until('requests fail', () => failures.length > 0)
  const replica = look(standby.port)
  await replica`select pg_promote(true, 60)`
  times.promoted = performance.now()
  await until('a request after it', () => times.success > 0)
  // The former primary, as a standby that stands first in the list.
  writeFileSync(join(folder, 'first', 'standby.signal'), '')
  if (owner) chownSync(join(folder, 'first', 'standby.signal'), owner.uid, owner.gid)
  await first.restart()
  const [state] = await look(first.port)`select pg_is_in_recovery() as standby`
  t.match(state, { standby: true })
  const before = created.length
  await until('tenants are created again', () => created.length > before + 1)
  const [count, since] = [kept.size, failures.length]
  await until('and requests are answered', () => kept.size > count + 50)
  stop = true
  await load
  t.equal(failures.length, since, 'nothing fails any more')
  const early = failures.filter(({ at }) => at > times.success)
  t.ok(
    early.length <= tenants.length + 1,
    `each line of work fails once at most after the first success: ${early.length}`,
  )
  const codes = new Set(failures.map(({ code }) => code))
  for (const code of codes) {
    t.ok(
      ['TENANT_DATABASE_UNAVAILABLE', 'CENTRAL_DATABASE_UNAVAILABLE', 'TENANT_BUSY'].includes(String(code)),
      `failed with ${code}`,
    )
  }
  t.comment(
    `first success ${Math.round(times.success - times.promoted)} ms after the promotion, ${failures.length} failures`,
  )

  for (const id of tenants) {
    const rows = await app.tenants.run(id, ({ sql }) => sql<{ body: string }[]>`select body from notes`)
    const there = new Set(rows.map(({ body }) => body))
    const lost = [...kept].filter(([body, of]) => of === id && !there.has(body))
    t.same(lost, [], `${id} has every write that was confirmed`)
  }
  const sessions = await look(first.port)`select 1 from pg_stat_activity where usename ~ 'core'`
  t.same([...sessions], [], 'no connection to the former primary')

  const work = mkdtempSync(join(tmpdir(), 'failover-command-'))
  t.teardown(() => rmSync(work, { recursive: true, force: true }))
  const { run: command } = operatorCommands(t, work)
  const environment = {
    SERVICE_NAME: 'core',
    DB_HOST: '127.0.0.1,127.0.0.1',
    DB_PORT: `${first.port},${standby.port}`,
    DB_USERNAME: user,
    DB_PASSWORD: secret,
    DB_SSLMODE: 'disable',
    TENANT_ROLE_SECRET: roleSecret,
    TENANT_MIGRATIONS: notes,
    REDIS_URL: '',
  }
  const registry = look(standby.port, 'core_central')
  // A creation that the promotion interrupted is tried again by the service, also one whose caller got an error.
  const missing = async (): Promise<string[]> => {
    const rows = await registry<{ id: string; ready: boolean }[]>`
      select id, provisioned = 'ready' and exists (
        select from pg_database where datname = 'tenant_' || id || '_core') as ready from tenants`
    const ready = new Set(rows.flatMap(one => (one.ready ? one.id : [])))
    return [...tenants, ...created, ...rows.map(({ id }) => id)].filter(id => !ready.has(id))
  }
  await until('every tenant that was made is in the registry, with its database', async () => {
    const left = await missing()
    return left.length === 0
  })
  const status = await command(['--json', 'status'], environment)
  t.equal(status.code, 0, status.err)
  const psql = await command(
    ['run', '--tenant', 'acme', '--', 'psql', '-Atc', 'select pg_is_in_recovery()'],
    environment,
  )
  t.match(psql.out, /acme.*f$/m, psql.err)

  const onStandby = await command(['--json', 'doctor'], {
    ...environment,
    DB_HOST: '127.0.0.1',
    DB_PORT: String(first.port),
  })
  t.equal(onStandby.code, 3, onStandby.err)
  t.match(
    JSON.parse(onStandby.out).problems.filter(({ what }: { what: string }) => what === 'instance is a standby'),
    [{ about: 'main', cure: /takes no writes.*DB_HOST/ }],
  )
  const port = await freePort()
  const without = await command(['status'], { ...environment, DB_PORT: `${first.port},${port}` })
  t.equal(without.code, 1)
  t.match(without.err, /takes no writes: no server is a primary: 127\.0\.0\.1:\d+ is a standby/)
})
