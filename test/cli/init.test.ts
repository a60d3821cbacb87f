import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t from 'tap'
import { startPostgres } from '../../stack/servers/postgres.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

interface Outcome {
  code: number
  out: string
}

function run(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise(resolve => {
    const { PATH = '' } = process.env
    execFile(process.execPath, [program, ...args], { env: { PATH, ...env } }, (error, stdout, stderr) => {
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

  await t.test('makes the role, the central database and its mark, and closes the doors', async t => {
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

  await t.test('is safe to repeat, and says what it did as JSON', async t => {
    const outcome = await run(['init', '--service', 'employee', '--json'], env)
    t.equal(outcome.code, 0, outcome.out)
    t.match(JSON.parse(outcome.out), { service: 'employee', done: Array })
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

  await t.test('wants a superuser, and says so', async t => {
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

  await t.test('has help, and exits 2 when it is called wrongly', async t => {
    t.match(await run(['init', '--help']), { code: 0, out: /INIT_SUPERUSER/ })
    t.match(await run(['--help']), { code: 0, out: /init/ })
    t.match(await run(['init', '--nonsense']), { code: 2 })
    t.match(await run(['nonsense']), { code: 2 })
    t.match(await run(['init']), { code: 1, out: /--service employee/ })
  })
})
