// The attack table against running services, composed as for production, over sockets: each input gets its answer,
// and has no effect: no database, no role, no key in Redis, no connection to a tenant, no malformed line of the log.

import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { Redis } from 'ioredis'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { logFormat } from '../../plugins/errors/index.js'
import { claims, confusedToken, issuer, makeKey, now, tokenOf, unsignedToken } from '../plugins/tokens/issuer.js'

import { adminToken, serviceRig } from '../services/rig.js'
import { until } from '../until.js'
import { attacks, testedElsewhere } from './rows.js'
import { type Answer, send } from './wire.js'

t.test('the attack table', async t => {
  const key = makeKey('one')
  const from = await issuer(t, [key])
  const { service, servers, look } = await serviceRig(t, ['identity', 'employee'])
  let log = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log += chunk
      done()
    },
  })
  const environment = readEnvironment({
    NODE_ENV: 'production',
    TENANT_ROLE_SECRET: 'k1:a-secret-that-only-the-tests-ever-use',
    TOKEN_KEYS_URL: from.url,
    TOKEN_ISSUER: 'the-issuer',
    TOKEN_AUDIENCE: 'the-audience',
    TENANT_BASE_DOMAIN: 'hrms.example.com',
  })
  const run = async (name: 'identity' | 'employee', options: object) => {
    const tenancy = { redis: servers.redis.url, ...options }
    const app = await service(name, tenancy, { environment, logger: { ...logFormat, level: 'debug', stream } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return app
  }
  const apps = { employee: await run('employee', {}), identity: await run('identity', {}) }
  const ports = {
    employee: (apps.employee.server.address() as AddressInfo).port,
    identity: (apps.identity.server.address() as AddressInfo).port,
  }
  const { employee } = apps
  for (const id of ['acme', 'globex', 'suspended', 'deleted']) await employee.tenants.create({ id, name: id })
  await employee.tenants.suspend('suspended')
  await employee.tenants.remove('deleted')
  // A tenant whose attempt has failed and is due again in an hour.
  await look('employee', 'employee_central')`
    insert into tenants (id, version, name, lifecycle, provisioned, attempts, next_attempt_at)
    values ('provisioning', 1, 'Provisioning', 'active', 'failed', 9, now() + interval '1 hour')`

  const otherKey = makeKey('one')
  const token = (more: object, header?: object) => tokenOf(key, claims(more), header)
  const rows = attacks({
    acme: token({ tenant: 'acme' }),
    globex: token({ tenant: 'globex', roles: ['member'] }),
    operator: adminToken,
    suspended: token({ tenant: 'suspended' }),
    deleted: token({ tenant: 'deleted' }),
    provisioning: token({ tenant: 'provisioning' }),
    forged: [
      ['unsigned', unsignedToken('one')],
      ['unsigned EdDSA', unsignedToken('one', 'EdDSA')],
      ['unsigned NONE', unsignedToken('one', 'NONE')],
      ['the public key as a secret', confusedToken(key)],
      ['another key', tokenOf(otherKey)],
      ['an unknown key', token({}, { kid: 'two' })],
      ['a key from elsewhere', tokenOf(otherKey, claims(), { jku: from.url, kid: 'x' })],
      ['a key of its own', tokenOf(otherKey, claims(), { jwk: otherKey.jwk })],
      ['a path as its key', token({}, { kid: '../../../dev/null' })],
      ['SQL as its key', token({}, { kid: "' union select 'a" })],
      ['expired', token({ exp: now() - 60 })],
      ['of the future', token({ nbf: now() + 600 })],
      ['another issuer', token({ iss: 'evil' })],
      ['another audience', token({ aud: 'evil' })],
      ['rubbish', 'a.b.c'],
      ['empty parts', '..'],
      ['very long', 'a'.repeat(8000)],
    ],
  })

  // Warm: the connections and keys of an allowed request are not counted against the refused ones.
  const good = await send(ports.employee, {
    target: '/api/employees',
    lines: [`Authorization: Bearer ${token({ tenant: 'acme' })}`],
  })
  t.equal(good.status, 200, good.body)

  const redis = new Redis(servers.redis.url)
  t.teardown(() => redis.disconnect())
  const world = async () => ({
    databases: (await look('employee')`select datname from pg_database order by 1`).map(({ datname }) => datname),
    identity: (await look('identity')`select datname from pg_database order by 1`).map(({ datname }) => datname),
    roles: (await look('employee')`select rolname from pg_roles order by 1`).map(({ rolname }) => rolname),
    tenants: await look('employee', 'employee_central')`select id, version, lifecycle from tenants order by id`,
    registered: await look('identity', 'identity_central')`select id from tenants`,
    events: await look('identity', 'identity_central')`select subject from outbox`,
    // Keys of the rate limit have the address alone, and the tenant that may ask; the next minute has the next
    // key.
    keys: [...new Set((await redis.keys('*')).filter(notOfTheAddress).map(withoutMinute))].sort(),
  })
  // Sent to Redis a tenth of a second after it was counted.
  await until('the good request is counted', async () => (await world()).keys.includes(withoutMinute(`${COUNT}1`)))
  const before = await world()
  const leased = () => Object.keys(apps.employee.tenants.connectionInfo().tenants)
  const connected = leased()

  const inputs = new Set<string>()
  const byRow = new Map<number, number>()
  for (const { row, what, to, request, status, code, head } of rows) {
    inputs.add(JSON.stringify([to, request]))
    byRow.set(row, (byRow.get(row) ?? 0) + 1)
    const answer = await send(ports[to], request)
    const name = `row ${row}, ${what}`
    if (answer.status !== status || answer.code !== code) {
      t.same({ status: answer.status, code: answer.code }, { status, code }, `${name}\n${answer.body.slice(0, 300)}`)
    }
    if (head && !head.test(answer.head)) t.fail(`${name}: ${answer.head}`)
    if (/globex|evil|DROP|passwd|<script/i.test(answer.body)) t.fail(`${name}: the answer repeats it: ${answer.body}`)
    if (/\n\s+at |node_modules|postgres\b.*:|select /i.test(answer.body)) t.fail(`${name}: it shows internals`)
  }

  await t.test('is large enough to be one', async t => {
    t.ok(inputs.size >= 300, `${inputs.size} different inputs in ${byRow.size} classes`)
    t.equal(inputs.size, rows.length, 'no input is there twice')
  })

  await t.test('has each of its 52 classes here, or in the test that is named for it', async t => {
    for (let row = 1; row <= 52; row++) {
      const [file, test] = testedElsewhere[row] ?? []
      if (file === undefined || test === undefined) t.ok(byRow.get(row), `row ${row}`)
      else t.ok(readFileSync(file, 'utf8').includes(test), `row ${row}: ${file} has “${test}”`)
    }
  })

  await t.test('had no effect', async t => {
    t.same(await world(), before)
    t.same(leased(), connected, 'no connection to another tenant')
    for (const app of Object.values(apps)) t.equal(app.tenants.connectionInfo().inUse, 0)
  })

  await t.test(
    'row 49: the answer to a refused request is the same for existing and unknown tenants, except its time',
    async t => {
      const names = [
        'globex',
        'unregistered',
        'suspended',
        'deleted',
        'provisioning',
        'a-40-byte-name-that-no-tenant-ever-had-x',
        'admin',
      ]
      const shown = ({ status, head, body }: Answer) => ({
        status,
        head: head.replace(/^(date|x-request-id): .*$/gim, '$1'),
        body,
      })
      for (const [what, lines] of [
        ['with another’s token', [`Authorization: Bearer ${token({ tenant: 'acme' })}`]],
        ['without one', []],
      ] as const) {
        const medians: string[] = []
        const first = await send(ports.employee, {
          target: '/api/employees',
          lines: [...lines, 'HRMS-Client-ID: globex'],
        })
        for (const name of names) {
          const times: number[] = []
          for (const way of [`HRMS-Client-ID: ${name}`, `Host: ${name}.hrms.example.com`]) {
            for (let n = 0; n < 15; n++) {
              const began = performance.now()
              const answer = await send(ports.employee, { target: '/api/employees', lines: [...lines, way] })
              times.push(performance.now() - began)
              if (n === 0) t.same(shown(answer), shown(first), `${name} ${what}`)
            }
          }
          times.sort((a, b) => a - b)
          medians.push(`${name} ${times[times.length >> 1]?.toFixed(2)} ms`)
        }
        t.comment(`medians ${what}: ${medians.join(', ')}`)
      }
    },
  )

  await t.test('could not forge a line of the log', async t => {
    const lines = log.trim().split('\n')
    t.ok(lines.length > rows.length)
    t.same(
      lines.filter(line => !isRecord(line)),
      [],
    )
    t.notMatch(log, new RegExp(adminToken), 'nor read the operator’s token')
    t.notOk(log.includes(token({ tenant: 'acme' })))
  })

  await t.test('row 40: false entries in Redis deny nothing and redirect no request', async t => {
    const lies = [
      'rubbish',
      '{}',
      'null',
      '[]',
      '"acme"',
      'x'.repeat(300_000),
      '{"__proto__":{"id":"acme"}}',
      JSON.stringify({
        id: 'globex',
        service: 'employee',
        name: 'x',
        domain: null,
        settings: {},
        version: 9,
        revision: 99,
        lifecycle: 'active',
        provisioned: 'ready',
      }),
      JSON.stringify({
        id: 'acme',
        service: 'employee',
        name: 'x',
        domain: null,
        settings: {},
        version: 0,
        revision: 0,
        lifecycle: 'deleted',
        provisioned: 'ready',
      }),
      // Newer than every notification, and complete: only its seal is not the service's.
      ...(['suspended', 'deleted'] as const).map(lifecycle =>
        'A'.repeat(43).concat(
          JSON.stringify({
            id: 'acme',
            service: 'employee',
            at: Date.now(),
            name: 'x',
            domain: null,
            settings: {},
            version: 9,
            schemaVersion: 1,
            revision: 9_999,
            lifecycle,
            provisioned: 'ready',
          }),
        ),
      ),
    ]
    const other = await run('employee', {})
    const { port } = other.server.address() as AddressInfo
    for (const lie of lies) {
      await redis.set('fdt:v1:employee:acme', lie)
      await look('employee', 'employee_central')`select pg_notify('fdt_tenants', '{"id":"unregistered","revision":1}')`
      const answer = await send(port, {
        target: '/api/employees',
        lines: [`Authorization: Bearer ${token({ tenant: 'acme' })}`],
      })
      t.equal(answer.status, 200, lie.slice(0, 60))
    }
    t.same(Object.keys(other.tenants.connectionInfo().tenants), connected)
  })
})

const notOfTheAddress = (name: string): boolean => !name.startsWith('fdt:v1:limit:address:127.0.0.1:')

/** The keys that count the tenant that may ask, by the minute. */
const COUNT = 'fdt:v1:limit:tenant:acme:'
const withoutMinute = (name: string): string => (name.startsWith(COUNT) ? name.replace(/\d+$/, '<minute>') : name)

function isRecord(line: string): boolean {
  try {
    const { level, time, msg } = JSON.parse(line)
    return Number.isInteger(level) && Number.isInteger(time) && typeof msg === 'string' && msg !== 'forged'
  } catch {
    return false
  }
}
