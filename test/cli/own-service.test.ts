// A service of one's own and the command in its folder: both take `.env`, and nothing else is set.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import postgres from 'postgres'
import t from 'tap'

import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { settle } from '../../plugins/distributed-tenant/config/settings.js'
import { parseTenantId } from '../../plugins/distributed-tenant/names.js'
import { createTenancy } from '../../plugins/distributed-tenant/tenancy.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { operatorCommands } from './operator-commands.js'

t.test('the command in the folder of a service of one’s own', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'own-service-'))
  const server = await startPostgres()
  const { host, port, user, password } = server
  const sql = postgres({ host, port, user, password, database: 'tenant_acme_billing', max: 1, onnotice() {} })
  t.teardown(async () => {
    await sql.end({ timeout: 1 })
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const { run } = operatorCommands(t, folder)
  const migrations = join(folder, 'migrations')
  mkdirSync(migrations)
  writeFileSync(join(migrations, '001.do.invoices.sql'), 'create table invoices (id bigint primary key);')
  const made = await run(['init', '--service', 'billing'], {
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USERNAME: 'billing_service',
    DB_PASSWORD: 'choose-one',
    TENANT_MIGRATIONS: 'migrations',
    REDIS_URL: '',
    INIT_SUPERUSER: user,
    INIT_PASSWORD: password,
  })
  t.equal(made.code, 0, made.err)
  const file = readFileSync(join(folder, '.env'), 'utf8')
  t.match(file, /^TENANT_MIGRATIONS=migrations$/m)

  /** As the service reads it, in its own folder. */
  const provision = async (more: Record<string, string> = {}) => {
    const environment = { ...(parseEnv(file) as Record<string, string>), TENANT_MIGRATIONS: migrations, ...more }
    const tenancy = createTenancy(settle({ nats: null }, readEnvironment(environment)))
    try {
      await tenancy.prepare()
      const id = parseTenantId('acme')
      await tenancy.pools.central.sql`insert into tenants (id, name) values (${id}, 'Acme') on conflict do nothing`
      await tenancy.provisioner.provision(id)
    } finally {
      await tenancy.close()
    }
  }
  await provision()

  await t.test('migrates its tenants by the service’s own files', async t => {
    writeFileSync(join(migrations, '002.do.amount.sql'), 'alter table invoices add amount integer;')
    const behind = await run(['doctor'])
    t.match(behind.out, /schema behind.*acme.*version 1 of 2/, behind.err)
    const migrated = await run(['migrate'])
    t.equal(migrated.code, 0, migrated.err)
    t.match(migrated.out, /1 at version 2/)
    t.same(await sql`select amount from invoices`, [])
  })

  await t.test('runs a program for each tenant', async t => {
    const ran = await run(['run', '--', process.execPath, '-p', 'process.env.PGDATABASE'])
    t.equal(ran.code, 0, ran.err)
    t.match(ran.out, /billing acme: tenant_acme_billing/)
  })

  await t.test('a variable that is set stays, and a file of another service is left out', async t => {
    const set = await run(['doctor'], { DB_PASSWORD: 'another' })
    t.match(set.out, /28P01|cannot be asked/, set.err)
    const other = await run(['doctor'], { SERVICE_NAME: 'payroll', DB_HOST: host, DB_PORT: '1' })
    t.match(other.out + other.err, /payroll_central|1 as postgres|cannot be/)
    t.notMatch(other.out + other.err, /billing/)
  })

  await t.test('a key of tenants’ roles that is lost is named, with the command that replaces it', async t => {
    const lost = { TENANT_ROLE_SECRET: `k9:${'another-secret-of-the-tests-'.repeat(2)}` }
    const named = await run(['doctor'], lost)
    t.match(named.out, /role key unknown/)
    const [, key = ''] = /doctor --fix --lost-key (k1\.[0-9a-f]{8})/.exec(named.out) ?? []
    t.ok(key, named.out)
    const without = await run(['doctor', '--fix'], lost)
    t.match(without.out, /--lost-key/, 'it is not replaced without that option')
    const wrong: [args: string[], env: Record<string, string>, says: RegExp][] = [
      [['--lost-key', key], lost, /give --fix/],
      [['--fix', '--lost-key', 'k2.00000000'], lost, /No tenant’s role/],
      [['--fix', '--lost-key', key], {}, /it is not lost/],
    ]
    for (const [args, env, says] of wrong) {
      const outcome = await run(['doctor', ...args], env)
      t.equal(outcome.code, 2, outcome.out)
      t.match(outcome.err, says)
    }
    const replaced = await run(['doctor', '--fix', '--lost-key', key], lost)
    t.match(replaced.out, /role key unknown +acme +repaired/, replaced.err)
    t.notMatch((await run(['doctor'], lost)).out, /role key/)
    // And back, by the new key's name: the service of this folder has the old one.
    const [, now = ''] = /--lost-key (k9\.[0-9a-f]{8})/.exec((await run(['doctor'])).out) ?? []
    t.match((await run(['doctor', '--fix', '--lost-key', now])).out, /repaired/)
    t.notMatch((await run(['doctor'])).out, /role key/)
  })

  await t.test('names DB_SSLMODE for a server without TLS, and no wrong cause', async t => {
    const { code, err } = await run(['status'], { DB_SSLMODE: 'require' })
    t.equal(code, 1)
    t.match(err, /has no TLS: .*DB_SSLMODE=disable/)
    t.notMatch(err, /check that it runs/)
  })

  await t.test('`migrate` without migrations fails, says why and changes nothing', async t => {
    for (const args of [['migrate'], ['migrate', '--dry-run']]) {
      const outcome = await run(args, { TENANT_MIGRATIONS: '' })
      t.equal(outcome.code, 2, outcome.out)
      t.match(outcome.err, /billing: no tenant migrations are given.*TENANT_MIGRATIONS/)
    }
  })
})
