// TLS to real NATS and Redis servers: a good certificate is used; one of another host, an expired one and one of an
// unknown authority is refused and logged without a secret, while the service runs without that server, as designed.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { settle } from '../../plugins/distributed-tenant/config/settings.js'
import { startNats } from '../../stack/servers/nats.js'
import { startRedis } from '../../stack/servers/redis.js'
import { type Certificate, makeCertificates } from '../certificates.js'
import { until } from '../until.js'
import { admin, as, serviceRig } from './rig.js'

/** A server's certificate, in a place where it can be replaced. */
function place(t: Test, first: Certificate) {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const files = { key: join(folder, 'server.key'), cert: join(folder, 'server.crt') }
  const put = ({ key, cert }: Certificate) => {
    copyFileSync(key, files.key)
    copyFileSync(cert, files.cert)
  }
  put(first)
  return { files, put }
}

t.test('TLS to NATS and Redis', async t => {
  const { service } = await serviceRig(t, ['identity', 'employee'])
  const made = makeCertificates(t)
  /** The secrets that the test plants and no line may hold. */
  const secrets: string[] = []

  async function start(name: 'identity' | 'employee', tenancy: { nats: string } | { redis: string }, ca: string) {
    let log = ''
    const stream = {
      write(line: string) {
        log += line
      },
    }
    const files = 'nats' in tenancy ? { natsCaFile: ca } : { redisCaFile: ca }
    const options = { requiredServices: ['identity'], logger: { level: 'trace', stream } }
    const app = await service(name, { ...tenancy, ...files }, options)
    t.teardown(() => app.close())
    return {
      app,
      part: async (name: 'nats' | 'redis') => (await app.inject('/api/health')).json().checks[name].status as string,
      log: () => log,
    }
  }

  async function serves(t: Test, app: FastifyInstance, id: string) {
    await app.tenants.create({ id, name: id })
    t.equal((await as(app, id)('GET', '/api/employees')).statusCode, 200, 'tenants are served')
  }

  const flaws = [
    ['another host', made.wrongHost, made.ca, /ERR_TLS_CERT_ALTNAME_INVALID.*10\.9\.8\.7/],
    ['yesterday', made.expired, made.ca, /CERT_HAS_EXPIRED/],
    ['an authority that is not trusted', made.good, made.foreignCa, /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
  ] as const

  await t.test('NATS with a good certificate is used, by address and by name', async t => {
    const server = await startNats({ tls: made.good })
    t.teardown(() => server.stop())
    secrets.push(server.password)
    for (const [id, url] of [
      ['by-address', server.url],
      ['by-name', server.url.replace('127.0.0.1', 'localhost')],
    ] as const) {
      const { app, part, log } = await start('identity', { nats: url }, made.ca)
      await until('connected', async () => (await part('nats')) === 'up')
      const created = await admin(app, { prefer: 'wait=60' })('POST', '/api/tenants', { id, name: id })
      t.equal(created.statusCode, 201, 'the tenant is ready, which requires events')
      for (const secret of secrets) t.notOk(log().includes(secret))
      await app.close()
    }
  })

  for (const [what, certificate, ca, reason] of flaws) {
    await t.test(`NATS with a certificate of ${what} is refused, and accepted when it is replaced`, async t => {
      const { files, put } = place(t, certificate)
      const server = await startNats({ tls: files })
      t.teardown(() => server.stop())
      secrets.push(server.password)
      const { app, part, log } = await start('employee', { nats: server.url }, ca)
      await until('the reason is logged', () => reason.test(log()))
      t.match(log(), /NATS does not answer/)
      t.equal(await part('nats'), 'down')
      await serves(t, app, `nats-${what.replace(/ .*/, '')}`)
      t.equal(await part('nats'), 'down', 'and still is')
      for (const secret of secrets) t.notOk(log().includes(secret))
      if (ca !== made.ca) return
      await server.kill()
      put(made.good)
      await server.restart()
      await until('tried again', async () => (await part('nats')) === 'up')
    })
  }

  await t.test('a NATS that offers no TLS is not used where the URL says tls://', async t => {
    const server = await startNats()
    t.teardown(() => server.stop())
    const { app, part, log } = await start('employee', { nats: server.url.replace('nats:', 'tls:') }, made.ca)
    await until('refused', () => /NATS does not answer/.test(log()))
    t.equal(await part('nats'), 'down')
    t.notOk(log().includes(server.password))
    await app.close()
  })

  await t.test('Redis with a good certificate is used, by address and by name', async t => {
    const server = await startRedis({ tls: made.good })
    t.teardown(() => server.stop())
    secrets.push(server.password)
    for (const url of [server.url, server.url.replace('127.0.0.1', 'localhost'), `${server.url}?tls=none`]) {
      const { app, part, log } = await start('employee', { redis: url }, made.ca)
      // A command has 100 ms, and the first one waits for the handshake.
      await until('Redis is up', async () => (await part('redis')) === 'up')
      t.equal(await app.redis.ping(), 'PONG')
      for (const secret of secrets) t.notOk(log().includes(secret))
      await app.close()
    }
  })

  for (const [what, certificate, ca, reason] of flaws) {
    await t.test(`Redis with a certificate of ${what} is refused, and accepted when it is replaced`, async t => {
      const { files, put } = place(t, certificate)
      const server = await startRedis({ tls: files })
      t.teardown(() => server.stop())
      secrets.push(server.password)
      const { app, part, log } = await start('employee', { redis: server.url }, ca)
      await until('the reason is logged', () => reason.test(log()))
      t.match(log(), /redis connection failed/)
      t.equal(await part('redis'), 'down')
      await serves(t, app, `redis-${what.replace(/ .*/, '')}`)
      for (const secret of secrets) t.notOk(log().includes(secret))
      if (ca !== made.ca) return
      await server.kill()
      put(made.good)
      await server.restart()
      await until('tried again', async () => (await part('redis')) === 'up')
    })
  }

  await t.test('a CA file without effect refuses the start', async t => {
    const cases = [
      [{ NATS_URL: 'nats://u:hunter2@localhost', NATS_CA_FILE: made.ca }, /NATS_CA_FILE is set but/],
      [
        { NATS_URL: 'tls://u:hunter2@localhost', NATS_CA_FILE: '/nowhere.pem' },
        /NATS_CA_FILE cannot be read \(ENOENT\)/,
      ],
      [{ NATS_URL: 'tls://u:hunter2@localhost', NATS_CA_FILE: made.good.key }, /NATS_CA_FILE holds no certificate/],
      [{ REDIS_URL: 'redis://:hunter2@localhost', REDIS_CA_FILE: made.ca }, /REDIS_CA_FILE is set but/],
      [{ REDIS_URL: 'rediss://:hunter2@localhost', REDIS_CA_FILE: '/' }, /REDIS_CA_FILE cannot be read \(EISDIR\)/],
    ] as const
    for (const [env, message] of cases) {
      const error = (() => {
        try {
          return settle({ service: 'employee' }, readEnvironment(env))
        } catch (error) {
          return error as Error
        }
      })()
      t.match(error, { code: 'CONFIGURATION_INVALID', message })
      t.notMatch(String(error), /hunter2/)
    }
  })
})
