import t, { type Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import { barePublish, rig } from '../rig.js'
import { until } from '../until.js'
import { environmentOf, startService } from './process.js'

const planted = {
  ADMIN_TOKEN: 'canary-admin-5e1c7a90d2',
  SERVICE_TOKEN: 'canary-service-1b90ff27a3',
  METRICS_TOKEN: 'canary-metrics-77ab10c3e9',
  TENANT_ROLE_SECRET: 'k1:canary-roles-0d4c2f6b8e8a91d7c3b5f0a2e4d6c8b0a1f3e5d7',
}
/** Input of a user: neither may be in a log. */
const typed = { token: 'canary-typed-9f8e7d6c5b', person: 'canary-person-31415' }

interface Line {
  readonly service?: string
  readonly reqId?: string
  readonly tenant?: string
  readonly msg?: string
}

const run = (t: Test, name: string, env: Record<string, string>) =>
  startService(t, name, { LOG_LEVEL: 'trace', ...planted, ...env })

t.test('logs of services', async t => {
  const made = await rig(t, ['identity', 'employee'])
  const { nats, redis, postgres } = made.servers
  const secrets = {
    ...planted,
    ...typed,
    database: made.database('identity').password as string,
    superuser: postgres.identity?.password as string,
    nats: nats.password,
    redis: redis.password,
  }
  const found = (text: string) => Object.entries(secrets).flatMap(([name, value]) => (text.includes(value) ? name : []))

  const environment = (name: string, port: number) => ({
    ...environmentOf(made, name, port),
    REQUIRED_SERVICES: 'identity,employee',
  })

  await t.test('a test run with failures of every kind logs no secret', { timeout: 2_390_000 }, async t => {
    const ports = { identity: await freePort(), employee: await freePort() }
    const services = {
      identity: run(t, 'identity', environment('identity', ports.identity)),
      employee: run(t, 'employee', environment('employee', ports.employee)),
    }
    const bodies: string[] = []
    const ask = async (service: keyof typeof ports, path: string, options: RequestInit = {}): Promise<number> => {
      const url = `http://127.0.0.1:${ports[service]}${path}`
      const response = await fetch(url, options).catch(() => null)
      bodies.push((await response?.text()) ?? '')
      return response?.status ?? 0
    }
    const admin = { authorization: `Bearer ${planted.ADMIN_TOKEN}`, 'content-type': 'application/json' }
    const tenant = { 'hrms-client-id': 'acme', 'content-type': 'application/json' }
    const post = (body: object, headers: Record<string, string>): RequestInit => ({
      method: 'POST',
      body: JSON.stringify(body),
      headers,
    })
    for (const service of Object.values(services)) await service.answers('/api/health/ready')

    t.equal(
      await ask('identity', '/api/tenants', post({ id: 'acme', name: 'Acme' }, { ...admin, prefer: 'wait=60' })),
      201,
    )
    t.equal(await ask('identity', '/api/tenants', { headers: { authorization: `Bearer ${typed.token}` } }), 401)
    t.equal(await ask('identity', '/metrics', { headers: { authorization: `Bearer ${typed.token}` } }), 401)
    t.equal(await ask('identity', '/metrics', { headers: { authorization: `Bearer ${planted.METRICS_TOKEN}` } }), 200)
    const hire = {
      employeeNumber: 'E-1',
      firstName: typed.person,
      lastName: 'L',
      email: `${typed.person}@example.com`,
      hiredOn: '2026-01-05',
    }
    await ask('employee', '/api/employees', post(hire, tenant))
    const repeated = await ask('employee', '/api/employees', post(hire, tenant))
    t.ok(repeated >= 400, 'a conflict, whose detail holds the row')
    await ask('employee', '/api/employees', { method: 'POST', body: `{"email": "${typed.person}`, headers: tenant })
    await barePublish(nats, 'tenant.created', `{"id":"UPPER","name":"${typed.person}"}`)
    await ask('identity', '/api/health', { headers: tenant })
    // Log lines about other parts that go down: addresses, users, never a password.
    await Promise.all([nats.kill(), redis.kill(), postgres.employee?.kill()])
    await until('employee notices', async () => (await ask('employee', '/api/health')) === 503)
    await ask('employee', '/api/employees', { headers: tenant })
    await ask('identity', '/api/tenants', post({ id: 'later', name: 'Later' }, admin))
    await Promise.all([nats.restart(), redis.restart(), postgres.employee?.restart()])
    await until('employee is back', async () => (await ask('employee', '/api/employees', { headers: tenant })) < 500)

    for (const service of Object.values(services)) t.equal((await service.stop()).code, 0)
    for (const [name, { output }] of Object.entries(services)) {
      t.same(found(output()), [], `${name}'s log`)
      const lines = output()
        .split('\n')
        .filter(Boolean)
        .map(text => JSON.parse(text) as Line)
      t.ok(lines.length > 20, `${name} has logged`)
      t.same([...new Set(lines.map(line => line.service))], [name], 'each line has its service')
    }
    const answers = bodies.filter(body => found(body).some(name => name !== 'person'))
    t.same(answers, [], 'no answer contains one either')

    const lines = services.employee
      .output()
      .split('\n')
      .filter(Boolean)
      .map(text => JSON.parse(text) as Line)
    const completed = lines.filter(line => line.msg === 'request completed' && line.tenant !== undefined)
    t.ok(completed.length > 0, 'a request for a tenant has the tenant')
    t.ok(completed.every(line => line.tenant === 'acme' && line.reqId))
  })

  await t.test('a start that fails logs none', async t => {
    const wrong: Record<string, string>[] = [
      { DB_PASSWORD: typed.token },
      { NATS_URL: `http://user:${typed.token}@127.0.0.1:1` },
      { REDIS_URL: `http://:${typed.token}@127.0.0.1:1` },
      { ADMIN_TOKEN: typed.token.slice(0, 10) },
      { TENANT_DB_PORT: typed.token },
    ]
    for (const env of wrong) {
      const { ended, output } = run(t, 'identity', { ...environment('identity', await freePort()), ...env })
      t.equal((await ended).code, 1, Object.keys(env).join())
      t.same(found(output()), [])
      t.notMatch(output(), typed.token.slice(0, 10))
    }
  })
})
