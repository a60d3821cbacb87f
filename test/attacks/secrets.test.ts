// Row 45 of the attack table: a canary in every secret, and no canary in the logs, answers, metrics, arguments and
// stored rows of a process, in production and in development, also when it cannot connect.
import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { rig } from '../rig.js'
import { environmentOf, startService } from '../services/process.js'

const planted = {
  ADMIN_TOKEN: 'canary-admin-5e1c7a90d2',
  SERVICE_TOKEN: 'canary-service-1b90ff27a3',
  METRICS_TOKEN: 'canary-metrics-77ab10c3e9',
  AUDIT_SECRET: 'canary-audit-00d4c2f6b8e8a91d7c3b5f0a2',
  TENANT_ROLE_SECRET: 'k1:canary-roles-0d4c2f6b8e8a91d7c3b5f0a2e4d6c8b0a1f3e5d7',
}
const password = 'canary-password of the first user'
const wrong = 'canary-wrong-4d3c2b1a09'

type Ask = (path: string, options?: RequestInit) => Promise<number>

function start(t: Test, port: number, environment: Record<string, string>) {
  const service = startService(t, 'identity', { LOG_LEVEL: 'trace', ...planted, ...environment })
  const bodies: string[] = []
  const ask: Ask = async (path, options) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, options).catch(() => null)
    bodies.push(`${JSON.stringify([...(response?.headers ?? [])])}${(await response?.text()) ?? ''}`)
    return response?.status ?? 0
  }
  return { ...service, ask, bodies }
}

/** The command lines of every process of this machine that may be read. */
const commandLines = (): string =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        // It has ended since.
        return ''
      }
    })
    .join('\n')

t.test('secrets stay where they are', async t => {
  const made = await rig(t, ['identity'])
  const { nats, redis } = made.servers
  const central = made.look('identity', 'identity_central')
  const environment = (port: number, mode: string) => ({
    ...environmentOf(made, 'identity', port),
    DB_SSLMODE: 'prefer',
    REQUIRED_SERVICES: 'identity',
    AUDIT_STREAM: 'true',
    SHUTDOWN_NOTICE: '0',
    NODE_ENV: mode,
    IDENTITY_URL: `http://127.0.0.1:${port}`,
  })
  const secrets = new Map<string, string>([
    ...Object.entries(planted).map(([name, value]) => [name, value.replace('k1:', '')] as const),
    ['the database’s password', made.database('identity').password as string],
    ['NATS’ password', nats.password],
    ['Redis’ password', redis.password],
    ['a user’s password', password],
    ['a wrong password', wrong],
  ])
  const found = (text: string) => [...secrets].filter(([, value]) => text.includes(value)).map(([name]) => name)

  const written = async (): Promise<string> => {
    let all = ''
    for (const table of [
      'audit_log',
      'audit_inbox',
      'audit_heads',
      'outbox',
      'tenants',
      'dead_events',
      'idempotency_keys',
    ]) {
      for (const { text } of await central`select to_jsonb(one)::text as text from ${central(table)} one`)
        all += `${text}\n`
    }
    return all
  }

  for (const mode of ['development', 'production']) {
    await t.test(`in ${mode}`, async t => {
      const port = await freePort()
      const service = start(t, port, environment(port, mode))
      const { ask } = service
      await service.answers('/api/health/ready')
      t.equal(await ask('/api/health/ready'), 200)
      const id = `canary-${mode}`
      const json = { 'content-type': 'application/json' }
      const operator = { ...json, authorization: `Bearer ${planted.ADMIN_TOKEN}` }
      const tenant = { ...json, 'hrms-client-id': id }
      const post = (headers: object, body: string): RequestInit => ({ method: 'POST', headers: { ...headers }, body })
      const email = 'ada@example.com'
      const ada = JSON.stringify({ id, name: id, admin: { email, password } })
      t.equal(await ask('/api/tenants', post({ ...operator, prefer: 'wait=60', 'idempotency-key': id }, ada)), 201)
      t.equal(await ask('/api/tenants', post({ ...operator, 'idempotency-key': id }, ada)), 202)
      t.equal(await ask('/api/tenants', post(operator, `{"id":"x","name":"x","secret":"${wrong}"}`)), 400)
      t.equal(await ask('/api/tenants', post(operator, `{"id":"${wrong}`)), 400)
      t.equal(await ask('/api/login', post(tenant, JSON.stringify({ email, password }))), 200)
      t.equal(await ask('/api/login', post(tenant, JSON.stringify({ email, password: wrong }))), 401)
      t.equal(await ask('/api/tenants', { headers: { authorization: `Bearer ${wrong}` } }), 401)
      t.equal(await ask(`/api/tenants?token=${planted.ADMIN_TOKEN}`), 401)
      t.equal(await ask(`/api/users?password=${wrong}`, { headers: tenant }), mode === 'production' ? 401 : 400)
      const feed = { headers: { authorization: `Bearer ${planted.SERVICE_TOKEN}` } }
      t.equal(await ask('/api/tenants/changes?after=0', feed), 200)
      t.equal(await ask('/metrics', { headers: { authorization: `Bearer ${planted.METRICS_TOKEN}` } }), 200)
      for (const path of ['/metrics', '/api/health', '/api/docs/json', '/.well-known/jwks.json']) await ask(path)
      t.same(found(commandLines()), [], 'no argument of a process holds one')

      const keys = await central<{ pem: string }[]>`select private_key as pem from signing_keys`
      for (const { pem } of keys) secrets.set('the signing key', pem.split('\n')[1] as string)
      const roles = await made.look('identity')<{ verifier: string }[]>`
        select rolpassword as verifier from pg_authid where rolname like 'tenant_%' and rolpassword is not null`
      for (const [n, { verifier }] of roles.entries()) secrets.set(`verifier ${n}`, verifier)
      t.ok(keys.length > 0 && roles.length > 0)

      for (const server of [nats, redis]) await server.kill()
      await ask('/api/health')
      await ask('/api/users', { headers: tenant })
      for (const server of [nats, redis]) await server.restart()
      await service.stop()
      t.ok(service.output().length > 10_000, 'the service has logged')
      t.same(found(service.output()), [], 'the log')
      t.same(found(service.bodies.join('\n')), [], 'the answers')
      const rows = await written()
      t.match(rows, /"kind": ?"admin"/)
      t.same(found(rows), [], 'the audit log and other stored rows')
    })

    await t.test(`in ${mode}, when it cannot connect`, async t => {
      const at = (url: string) => url.replace(/:[^:@/]+@/, `:${wrong}@`)
      for (const [what, env] of [
        ['database', { DB_PASSWORD: wrong }],
        ['NATS', { NATS_URL: at(nats.url) }],
        ['Redis', { REDIS_URL: at(redis.url) }],
      ] as const) {
        const port = await freePort()
        const service = start(t, port, { ...environment(port, mode), ...env })
        const reason = {
          database: /28P01|password authentication/,
          NATS: /NATS does not answer/,
          Redis: /redis connection failed/,
        }
        await service.waitFor(reason[what])
        t.same(found(commandLines()), [], 'no argument of a process holds one')
        if (what === 'database') await service.ended
        else {
          await service.answers('/api/health/live')
          for (const path of ['/api/health/live', '/api/health']) await service.ask(path)
          await service.stop()
        }
        t.same(found(service.output() + service.bodies.join('\n')), [], what)
      }
    })
  }
})
