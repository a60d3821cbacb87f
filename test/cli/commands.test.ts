// The operator's command against a running stack, as an operator types it: every command, its --json, its bad arguments.
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import t from 'tap'
import { startStack } from '../../stack/stack.js'
import { type Outcome, operatorCommands } from './operator-commands.js'
import { readToken, waysOfCommands } from './ways.js'

t.test('distributed-tenant', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const OPERATOR_TOKEN = `administer:${randomUUID()},read:${readToken}`
  const stack = await startStack({ folder, env: { ...process.env, OPERATOR_TOKEN } })
  t.teardown(() => stack.stop())
  const config = join(folder, 'stack.json')

  const { run: bare } = operatorCommands(t, folder)
  const run = (...args: string[]): Promise<Outcome> => bare(['--config', config, ...args])
  const json = async (...args: string[]) => {
    const { code, out, err } = await run('--json', ...args)
    t.equal(code, 0, err)
    t.equal(out.trim().split('\n').length, 1, 'one document')
    return JSON.parse(out)
  }

  await t.test('creates, lists and shows tenants', async t => {
    const created = await json('create', 'Acme Corporation', '--id', 'acme', '--domain', 'acme.example')
    t.match(created, { id: 'acme', status: 'ready', services: { identity: { status: 'ready' } } })
    t.match(await json('list'), { tenants: [{ id: 'acme', domain: 'acme.example' }] })
    t.match((await run('list')).out, /acme +Acme Corporation +acme\.example +active +ready/)
    t.match((await run('show', 'acme')).out, /employee +ready/)
    const again = await run('create', 'Acme', '--id', 'acme')
    t.equal(again.code, 1)
    t.match(again.err, /taken/)
    t.equal((await run('show', 'unknown')).code, 1)
  })

  await t.test('prints nothing with --quiet', async t => {
    t.same(await run('--quiet', 'list'), { code: 0, out: '', err: '' })
  })

  await t.test('shows every tenant in every service', async t => {
    t.match(await json('status'), {
      tenants: [{ id: 'acme', services: { core: { provisioned: 'ready', schemaVersion: 2 } } }],
    })
    t.match((await run('status')).out, /acme +ready \d+ +ready \d+ +ready \d+/)
    t.match((await run('status', '--problems')).out, /ready everywhere/)
  })

  await t.test('suspends, activates and deletes', async t => {
    t.match(await json('suspend', 'acme'), { lifecycle: 'suspended' })
    t.match(await json('activate', 'acme'), { lifecycle: 'active' })
    const created = await json('create', 'Globex', '--id', 'globex', '--suspended')
    t.match(created, { lifecycle: 'suspended', status: 'ready' }, 'created, and not served')
    t.match(await json('remove', 'globex', '--yes'), { id: 'globex' })
    t.match(await json('list', '--lifecycle', 'deleted'), { tenants: [{ id: 'globex' }] })
  })

  await t.test('migrates with nothing to do, and lists runs', async t => {
    t.match(await json('migrate'), {
      services: { identity: { run: null }, employee: { run: null }, core: { run: null } },
    })
    t.match((await run('migrate', '--dry-run')).out, /core: 0 tenants/)
    t.match(await json('migrate', '--list'), { runs: [] })
  })

  await t.test('runs a command for each tenant, and marks each line with its tenant', async t => {
    const { out } = await run('run', '--', 'psql', '-Atc', 'select current_database()')
    for (const name of ['identity', 'employee', 'core']) t.match(out, `${name} acme: tenant_acme_${name}`)
    const failed = await run('run', '--service', 'core', '--', 'false')
    t.equal(failed.code, 1)
    t.match(failed.err, /1 of 1 failed/)
    t.equal((await run('run', '--service', 'core', '--', 'no-such-program')).code, 2)
    const unknown = await run('run', '--tenant', 'unknown', '--', 'true')
    t.equal(unknown.code, 2)
    t.match(unknown.err, /no ready tenant/)
    const environment = await run('run', '--service', 'core', '--', 'env')
    t.match(environment.out, /TENANT_ID=acme/)
  })

  await t.test('opens psql on a tenant’s database', async t => {
    const { out } = await run('psql', 'acme', '--service', 'employee', '--', '-Atc', 'select current_database()')
    t.equal(out.trim(), 'tenant_acme_employee')
  })

  await t.test('shows sizes and activity', async t => {
    const { databases } = await json('sizes')
    t.ok(
      databases.some(
        (one: { database: string; bytes: number }) => one.database === 'tenant_acme_core' && one.bytes > 1e6,
      ),
    )
    t.match((await run('activity')).out, /core_central/)
  })

  await t.test('finds one service in the environment, and reports when it finds none', async t => {
    const { database } = stack.info.services.core
    const env = {
      SERVICE_NAME: 'core-service',
      DB_HOST: database.host,
      DB_PORT: String(database.port),
      DB_USERNAME: database.user,
      DB_PASSWORD: database.password,
    }
    const { code, out } = await bare(['status', '--json'], env)
    t.equal(code, 0)
    t.same(Object.keys(JSON.parse(out).tenants[0].services), ['core'])
    const each = await bare(['status', '--json'], {
      REQUIRED_SERVICES: 'core',
      CORE_DB_HOST: database.host,
      CORE_DB_PORT: String(database.port),
      CORE_DB_PASSWORD: database.password,
    })
    t.equal(each.code, 0, each.err)
    t.equal((await bare(['list'], env)).code, 2, 'identity is not known')
  })

  await t.test('finds no fault in a clean stack, and names the faults of a damaged one', async t => {
    const { database } = stack.info.services.employee
    const well = await run('doctor', '--deep')
    t.equal(well.code, 0, well.out)
    const sql = postgres({
      host: database.host,
      port: database.port,
      database: database.name,
      user: database.user,
      password: database.password,
      max: 1,
    })
    t.teardown(() => sql.end({ timeout: 1 }))
    // The services compare once a minute and would repair it; a comparison holds this lock, and now the test does.
    await sql`select pg_advisory_lock(hashtextextended('distributed_tenant.reconcile', 0))`
    await sql`alter role tenant_acme_employee nologin`
    await sql`create database tenant_stray_employee`
    await sql`insert into dead_events (subject, reason, data) values ('tenant.created', 'no JSON', ${Buffer.from('{')})`
    const damaged = await run('doctor')
    t.equal(damaged.code, 3)
    t.match(damaged.out, /employee +role closed +acme +doctor --fix/)
    t.match(damaged.out, /employee +stray database +tenant_stray_employee/)
    t.match(damaged.out, /employee +dead events +1/)
    const fixed = await run('doctor', '--fix')
    t.equal(fixed.code, 3, 'faults that need a person are left')
    t.match(fixed.out, /role closed +acme +repaired/)
    t.match(await sql`select rolcanlogin from pg_roles where rolname = 'tenant_acme_employee'`, [{ rolcanlogin: true }])
    await sql`select pg_advisory_unlock(hashtextextended('distributed_tenant.reconcile', 0))`
    await sql`drop database tenant_stray_employee`

    const dead = await json('dead', 'list', '--service', 'employee')
    t.match(dead, { dead: [{ subject: 'tenant.created', reason: 'no JSON' }] })
    const { id } = dead.dead[0]
    t.match((await run('dead', 'show', id, '--service', 'employee')).out, /no JSON\n\{/)
    t.equal((await run('dead', 'replay', id, '--service', 'employee')).code, 1, 'still no JSON')
    t.match(await json('dead', 'drop', id, '--service', 'employee'), { dropped: [id] })
    t.equal((await run('doctor')).code, 0)
    t.match((await run('doctor', '--user-list', '--service', 'core')).out, /"tenant_acme_core" "SCRAM-SHA-256\$1:/)
  })

  await t.test('publishes everything again, and nothing changes', async t => {
    const before = (await json('show', 'acme')).version
    t.match(await json('resync', '--yes'), { events: 2 })
    t.equal((await json('show', 'acme')).version, before)
  })

  await t.test('purges tenants past their retention, after identity has confirmed it', async t => {
    t.match((await run('purge', 'globex', '--yes', '--service', 'core')).out, /core +globex +\S/)
    t.equal((await run('purge', 'globex', '--yes', '--service', 'core')).code, 1, 'kept for 30 days')
    t.equal((await run('purge', 'acme', '--yes', '--service', 'core')).code, 1, 'not deleted')
    t.match((await run('purge', '--dry-run')).out, /core: nothing is due/)
  })

  await t.test('verifies, exports and seals the audit log', async t => {
    t.match(await json('audit', 'verify'), { services: { core: { flaws: [] } } })
    const { code, out } = await run('audit', 'seal')
    t.equal(code, 0)
    t.equal(out.trim().split('\n').length, 3, 'a seal for each service')
    t.equal((await run('audit', 'export')).code, 0)
  })

  waysOfCommands(t, { stack, folder, run: bare })

  await t.test('never prints a password or a token', async t => {
    const secrets = [
      stack.info.adminToken,
      stack.info.operatorToken,
      ...Object.values(stack.info.services).map(({ database }) => database.password),
    ]
    for (const args of [
      ['list'],
      ['status'],
      ['show', 'acme'],
      ['activity'],
      ['migrate', '--list'],
      ['show', 'unknown'],
    ]) {
      const { out, err } = await run(...args)
      for (const secret of secrets) t.notOk((out + err).includes(secret), args.join(' '))
    }
  })
})
