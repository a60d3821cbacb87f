// TLS to a real server: connections are encrypted, counted, cut and cancelled as without it, and a wrong certificate
// is refused.
import { chmodSync, chownSync, copyFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { tlsOptions } from '../../../postgres/connections/target.js'
import { type Certificate, makeCertificates } from '../../certificates.js'
import { until } from '../../until.js'
import { codeOf, stand } from '../stand.js'

t.test('a connection over TLS', async t => {
  const made = makeCertificates(t)
  const { server, look, pool: build } = await stand(t)
  const owner = statSync(server.dir)
  /** The server's own names for them are server.crt and server.key. */
  const use = async (certificate: Certificate) => {
    for (const kind of ['cert', 'key'] as const) {
      const path = join(server.dir, kind === 'cert' ? 'server.crt' : 'server.key')
      copyFileSync(certificate[kind], path)
      chmodSync(path, 0o600)
      chownSync(path, owner.uid, owner.gid)
    }
    await look`select pg_reload_conf()`
  }
  await look`alter system set ssl = 'on'`
  await use(made.good)
  const database = { host: '127.0.0.1', port: 1, database: 'x', user: 'x', password: 'x', sslRootCert: undefined }
  const secured = async (tls: false | string | object) => {
    const [row] = await build({ target: { tls } }).client()
      .sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    return row?.ssl
  }

  await t.test('is encrypted with prefer and require, and plain with disable', async t => {
    await until(async () => (await secured('require').catch(() => false)) === true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'prefer' })), true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'require' })), true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'disable' })), false)
  })
  const verified = (ca: string, host = '127.0.0.1') =>
    secured(tlsOptions({ ...database, host, ssl: 'verify-full', sslRootCert: ca }))
  await t.test('checks the certificate with verify-full', async t => {
    t.equal(await verified(made.ca), true)
    t.equal(await verified(made.ca, 'localhost'), true)
    t.match(await refusal(verified(made.foreignCa)), /UNABLE_TO_VERIFY_LEAF_SIGNATURE/)
    t.match(await refusal(verified(made.ca, 'elsewhere.example')), /ERR_TLS_CERT_ALTNAME_INVALID/)
  })
  await t.test(
    'refuses one of another host and an expired one with verify-full, and accepts a valid one again',
    async t => {
      for (const [certificate, reason] of [
        [made.wrongHost, /ERR_TLS_CERT_ALTNAME_INVALID/],
        [made.expired, /CERT_HAS_EXPIRED/],
      ] as const) {
        await use(certificate)
        await until(async () => reason.test(await refusal(verified(made.ca))))
        t.equal(await secured('require'), true, 'encrypted all the same where no check is asked for')
      }
      await use(made.good)
      await until(async () => (await verified(made.ca).catch(() => false)) === true)
    },
  )
  await t.test('is counted until the server has closed it', async t => {
    const { client, pool } = build({ target: { tls: 'require', applicationName: 'tls' } })
    const alive = async () => (await look`select 1 from pg_stat_activity where application_name = 'tls'`).length
    await client().sql`select 1`
    t.same([pool.info().open, await alive()], [1, 1])
    await pool.evict('postgres')
    t.same([pool.info().open, await alive()], [0, 0])
  })
  await t.test('is cut with its query, and a killed backend fails one query', async t => {
    const { client, pool } = build({ target: { tls: 'require', applicationName: 'tls' } })
    const sleeps = () =>
      look`select pid from pg_stat_activity where application_name = 'tls' and wait_event = 'PgSleep'`
    const scope = client()
    const cut = codeOf(scope.sql`select pg_sleep(20)`)
    await until(async () => (await sleeps()).length === 1)
    scope.release()
    t.equal(await cut, 'TENANT_CLIENT_RELEASED')
    await until(async () => (await sleeps()).length === 0 && pool.info().open === 0)
    const killed = codeOf(client().sql`select pg_sleep(20)`)
    await until(async () => (await sleeps()).length === 1)
    await look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tls'`
    t.equal(await killed, 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(await codeOf(client().sql`select 1`), 'no error')
    await until(() => pool.info().open === 1)
  })
})

/** Code and cause of a refused connection. */
async function refusal(connecting: Promise<unknown>): Promise<string> {
  try {
    await connecting
    return 'no error'
  } catch (error) {
    const { code, cause } = error as { code?: string; cause?: { code?: string } }
    return `${code} ${cause?.code ?? cause}`
  }
}
