import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import postgres from 'postgres'
import t from 'tap'
import { natsConf, natsConfWith } from '../../operations/init/nats-conf.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema } from '../../plugins/distributed-tenant/config/environment-schema.js'
import { serviceNames } from '../../stack/names.js'
import { startPostgres } from '../../stack/servers/postgres.js'
import { until } from '../until.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

interface Outcome {
  code: number
  out: string
}

const folder = mkdtempSync(join(tmpdir(), 'init-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

function run(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise(resolve => {
    const { PATH = '' } = process.env
    execFile(process.execPath, [program, ...args], { env: { PATH, ...env }, cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, out: stdout + stderr })
    })
  })
}

t.test('distributed-tenant init', async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const env = {
    DB_HOST: server.host,
    DB_PORT: String(server.port),
    DB_USERNAME: 'employee_service',
    DB_PASSWORD: "the 'service's canary",
    INIT_SUPERUSER: server.user,
    INIT_PASSWORD: server.password,
  }
  const connect = (database: string, user = server.user, password: string = server.password) => {
    const sql = postgres({ host: server.host, port: server.port, database, user, password, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }

  await t.test('makes the role, the central database and its mark, and closes its databases to PUBLIC', async t => {
    const outcome = await run(['init', '--service', 'employee'], env)
    t.equal(outcome.code, 0, outcome.out)
    t.notMatch(outcome.out, /canary/)
    const sql = connect('postgres')
    t.match(await sql`select * from pg_roles where rolname = 'employee_service'`, [
      { rolsuper: false, rolcreatedb: true, rolcreaterole: true, rolreplication: false, rolbypassrls: false },
    ])
    t.match(await sql`select rolpassword from pg_authid where rolname = 'employee_service'`, [
      { rolpassword: /^SCRAM-SHA-256\$/ },
    ])
    const open = await sql`
      select datname from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) as rights
      where grantee = 0 and privilege_type = 'CONNECT' and datname <> 'template0'`
    t.same([...open], [], 'nothing is open to PUBLIC')
    const mine = connect('employee_central', 'employee_service', env.DB_PASSWORD)
    t.match(await mine`select current_user as me`, [{ me: 'employee_service' }])
    await t.rejects(connect('postgres', 'employee_service', env.DB_PASSWORD)`select 1`, { code: '42501' })
  })

  await t.test('revokes from the group of tenants’ roles a password and a login that one of them gave it', async t => {
    const sql = connect('postgres')
    await sql`alter role employee_tenant login password 'of-a-tenant'`
    const outcome = await run(['init', '--service', 'employee', '--no-write-env'], env)
    t.equal(outcome.code, 0, outcome.out)
    t.match(await sql`select rolcanlogin, rolpassword from pg_authid where rolname = 'employee_tenant'`, [
      { rolcanlogin: false, rolpassword: null },
    ])
  })

  await t.test('finishes a central database that a killed run has left without connections', async t => {
    const sql = connect('postgres')
    await sql`create database employee_second owner employee_service template template0 allow_connections false`
    const outcome = await run(['init', '--service', 'employee', '--no-write-env'], {
      ...env,
      DB_DATABASE: 'employee_second',
    })
    t.equal(outcome.code, 0, outcome.out)
    const mine = connect('employee_second', 'employee_service', env.DB_PASSWORD)
    t.match(await mine`select has_database_privilege('public', current_database(), 'connect') as open`, [
      { open: false },
    ])
  })

  await t.test('sends no password of the role, which the server would log', async t => {
    const { log } = server
    const sql = connect('postgres')
    await sql`alter system set log_statement = 'all'`
    await sql`select pg_reload_conf()`
    t.teardown(async () => {
      await sql`alter system reset log_statement`
      await sql`select pg_reload_conf()`
    })
    // One more session each time: settings are read again between two statements.
    await until('statements are logged', async () => {
      await connect('postgres')
        .unsafe('select 1 as marker')
        .then(() => {})
      return readFileSync(log, 'utf8').includes('as marker')
    })
    for (const DB_PASSWORD of ["another 'canary", 'pässwörd ﬁ canary']) {
      const outcome = await run(['init', '--service', 'employee', '--no-write-env'], { ...env, DB_PASSWORD })
      t.equal(outcome.code, 0, outcome.out)
      const mine = connect('employee_central', 'employee_service', DB_PASSWORD.replace('ﬁ', 'fi'))
      t.match(await mine`select current_user as me`, [{ me: 'employee_service' }])
    }
    const logged = readFileSync(log, 'utf8')
    t.match(logged, /alter role employee_service password/i)
    t.notMatch(logged, /canary/)
    t.equal((await run(['init', '--service', 'employee', '--no-write-env'], env)).code, 0)
  })

  await t.test('prepares every other instance too, by the same login', async t => {
    const other = await startPostgres({ password: server.password })
    t.teardown(() => other.stop())
    const instances = { ...env, DB_INSTANCES: `b=${other.host}:${other.port}` }
    const outcome = await run(['init', '--service', 'employee', '--no-write-env'], instances)
    t.equal(outcome.code, 0, outcome.out)
    t.match(outcome.out, /database employee_instance on the instance b made/)
    t.equal((await run(['init', '--service', 'employee', '--no-write-env'], instances)).code, 0, 'and again')
    const { host, port } = other
    const at = (database: string, user: string, password: string) => {
      const sql = postgres({ host, port, database, user, password, max: 1, onnotice() {} })
      t.teardown(() => sql.end({ timeout: 1 }))
      return sql
    }
    const mine = at('employee_instance', 'employee_service', env.DB_PASSWORD)
    t.match(
      await mine`select shobj_description(oid, 'pg_database') as mark from pg_database where datname = current_database()`,
      [{ mark: 'distributed-tenant:instance:v1 {"service":"employee"}' }],
    )
    t.match(await mine`select rolname from pg_roles where rolname = 'employee_tenant'`, [
      { rolname: 'employee_tenant' },
    ])
    await t.rejects(at('postgres', 'employee_service', env.DB_PASSWORD)`select 1`, { code: '42501' })
    const core = { ...instances, DB_DATABASE: 'core_central', DB_USERNAME: 'core_service' }
    const { DB_PASSWORD: _, ...nameless } = core
    const without = await run(['init', '--service', 'core', '--no-write-env'], nameless)
    t.equal(without.code, 1)
    t.match(without.out, /DB_INSTANCES needs DB_PASSWORD/)
  })

  const written = (name: string) => parseEnv(readFileSync(join(folder, name), 'utf8')) as Record<string, string>

  await t.test('writes .env, for its owner alone, with the given values and the secrets that were missing', async t => {
    t.equal(statSync(join(folder, '.env')).mode & 0o777, 0o600)
    const file = written('.env')
    const { DB_HOST, DB_PORT, DB_USERNAME, DB_PASSWORD } = env
    t.match(file, { SERVICE_NAME: 'employee-service', DB_HOST, DB_PORT, DB_USERNAME, DB_PASSWORD })
    t.match(file.TENANT_ROLE_SECRET, /^k1:[0-9a-f]{64}$/)
    t.match(file.AUDIT_SECRET, /^[0-9a-f]{64}$/)
    t.notOk(file.ADMIN_TOKEN ?? file.SERVICE_TOKEN ?? file.OPERATOR_TOKEN, 'the tokens are identity’s to make')
    t.notOk(file.INIT_PASSWORD, 'the superuser’s password is not written')
    t.match(readEnvironment(file), { SERVICE_NAME: 'employee-service', DB_PASSWORD })
    const text = readFileSync(join(folder, '.env'), 'utf8')
    for (const name of Object.keys(environmentSchema.properties)) {
      t.match(text, new RegExp(`^# .*\\n(# )?${name}=`, 'm'), `${name} is explained`)
    }
  })

  await t.test('is safe to repeat, reports its steps as JSON, and leaves an existing file unchanged', async t => {
    writeFileSync(join(folder, '.env'), 'MINE=1')
    const outcome = await run(['init', '--service', 'employee', '--json'], env)
    t.equal(outcome.code, 0, outcome.out)
    t.match(JSON.parse(outcome.out), { service: 'employee', done: Array, envFile: null, generated: [] })
    t.equal(readFileSync(join(folder, '.env'), 'utf8'), 'MINE=1')
  })

  await t.test('makes a password for a new role without one, and prints no secret', async t => {
    const { DB_PASSWORD: _, ...rest } = env
    writeFileSync(join(folder, 'nats.txt'), 'nats://identity:canary@localhost:4222')
    const own = { ...rest, DB_USERNAME: 'identity_service', NATS_URL_FILE: 'nats.txt', REDIS_URL: '' }
    const outcome = await run(['init', '--service', 'identity', '--write-env', 'identity.env', '--json'], own)
    t.equal(outcome.code, 0, outcome.out)
    const generated = [
      'ADMIN_TOKEN',
      'AUDIT_SECRET',
      'DB_PASSWORD',
      'OPERATOR_TOKEN',
      'SERVICE_TOKEN',
      'TENANT_ROLE_SECRET',
    ]
    t.match(JSON.parse(outcome.out), { envFile: 'identity.env', generated })
    const file = written('identity.env')
    for (const name of generated) t.notMatch(outcome.out, file[name] ?? name)
    t.match(file, { NATS_URL_FILE: 'nats.txt', REDIS_URL: '' })
    t.match(file.OPERATOR_TOKEN, /^administer:[0-9a-f]{64}$/)
    t.match(readEnvironment({ OPERATOR_TOKEN: file.OPERATOR_TOKEN }), { OPERATOR_TOKEN: file.OPERATOR_TOKEN })
    t.equal(file.NATS_URL, undefined, 'a secret from a file stays there')
    const mine = connect('identity_central', 'identity_service', file.DB_PASSWORD)
    t.match(await mine`select current_user as me`, [{ me: 'identity_service' }])

    const again = await run(['init', '--service', 'identity', '--write-env', 'again.env', '--json'], own)
    t.match(JSON.parse(again.out), { envFile: 'again.env', generated: [] }, 'nothing is generated for an existing role')
    t.match(await mine`select current_user as me`, [{ me: 'identity_service' }])
    t.match(await connect('identity_central', 'identity_service', file.DB_PASSWORD)`select 1 as one`, [{ one: 1 }])
  })

  await t.test('adds a NATS user to the accounts of nats-server, and its password to .env', async t => {
    const file = join(folder, 'nats.conf')
    writeFileSync(file, readFileSync('deploy/nats.conf'))
    const billing = { ...env, DB_USERNAME: 'billing_service', NATS_URL: 'nats://a.internal:4222,b.internal:4222' }
    const args = ['init', '--service', 'billing', '--nats-conf', 'nats.conf', '--write-env', 'billing.env', '--json']
    const outcome = await run(args, billing)
    t.equal(outcome.code, 0, outcome.out)
    const { done, generated } = JSON.parse(outcome.out)
    t.match(done.join('\n'), /nats\.conf has the user billing: set NATS_BILLING_PASSWORD in/)
    t.ok(generated.includes('NATS_URL'))
    const text = readFileSync(file, 'utf8')
    t.equal(text, natsConf([...serviceNames, 'billing']))
    const [, password] =
      /^nats:\/\/billing:(n[0-9a-f]{64})@a\.internal:4222,nats:\/\/billing:\1@b\.internal:4222$/.exec(
        written('billing.env').NATS_URL ?? '',
      ) ?? []
    t.ok(password, 'the same for each server')
    t.notMatch(outcome.out + text, password as string)

    const absent = natsConfWith(join(folder, 'absent.conf'), 'billing', ['identity', 'employee'])
    t.equal(absent, natsConf(['identity', 'employee', 'billing']), 'a file that is not there begins with the others')

    const again = await run([...args.slice(0, -3), '--no-write-env'], billing)
    t.equal(again.code, 0, again.out)
    t.equal(readFileSync(file, 'utf8'), text, 'a user that is there stays as it is')
  })

  await t.test('refuses a file of accounts that was changed by hand, before anything is made', async t => {
    const byHand = `${readFileSync('deploy/nats.conf', 'utf8')}debug: true\n`
    writeFileSync(join(folder, 'by-hand.conf'), byHand)
    const payroll = { ...env, DB_USERNAME: 'payroll_service' }
    t.match(await run(['init', '--service', 'payroll', '--nats-conf', 'by-hand.conf'], payroll), {
      code: 1,
      out: /by-hand\.conf is not as this release writes it.*merge the two/,
    })
    t.equal(readFileSync(join(folder, 'by-hand.conf'), 'utf8'), byHand)
    t.same([...(await connect('postgres')`select 1 from pg_roles where rolname = 'payroll_service'`)], [])
  })

  await t.test('writes none with the option against it, and makes nothing where it could not write', async t => {
    const core = { ...env, DB_USERNAME: 'core_service' }
    rmSync(join(folder, '.env'))
    t.match(await run(['init', '--service', 'core', '--write-env', 'no/such/folder/.env'], core), {
      code: 1,
      out: /ENOENT.*--no-write-env/,
    })
    t.same([...(await connect('postgres')`select 1 from pg_roles where rolname = 'core_service'`)], [])
    t.match(await run(['init', '--service', 'core', '--no-write-env'], core), { code: 0 })
    t.throws(() => statSync(join(folder, '.env')), { code: 'ENOENT' })
  })

  await t.test('refuses another service’s central database', async t => {
    const outcome = await run(['init', '--service', 'core'], { ...env, DB_DATABASE: 'employee_central' })
    t.equal(outcome.code, 1)
    t.match(outcome.out, /central database of employee, not of core/)
  })

  await t.test('refuses to make the superuser the service’s role', async t => {
    const outcome = await run(['init', '--service', 'core'], { ...env, DB_USERNAME: server.user })
    t.equal(outcome.code, 1)
    t.match(outcome.out, /the superuser itself/)
  })

  await t.test('requires a superuser, and reports that', async t => {
    const outcome = await run(['init', '--service', 'core'], {
      ...env,
      DB_USERNAME: 'core_service',
      INIT_SUPERUSER: 'employee_service',
      INIT_PASSWORD: env.DB_PASSWORD,
    })
    t.equal(outcome.code, 1)
    t.match(outcome.out, /employee_service/)
    t.match(outcome.out, /INIT_SUPERUSER/)
  })

  await t.test('with a wrong password says where and the cure, and no secret', async t => {
    const outcome = await run(['init', '--service', 'employee'], { ...env, INIT_PASSWORD: 'wrong-canary' })
    t.equal(outcome.code, 1)
    t.match(outcome.out, /INIT_PASSWORD/)
    t.notMatch(outcome.out, /canary/)
  })

  await t.test('has help, and exits 2 after a wrong call', async t => {
    t.match(await run(['init', '--help']), { code: 0, out: /INIT_SUPERUSER/ })
    t.match(await run(['--help']), { code: 0, out: /init/ })
    t.match(await run(['init', '--nonsense']), { code: 2 })
    t.match(await run(['nonsense']), { code: 2 })
    t.match(await run(['init']), { code: 1, out: /--service employee/ })
  })
})
