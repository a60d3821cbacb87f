// TLS to a real server: connections are encrypted, counted, cut and cancelled as without it, and a wrong certificate is refused.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { tlsOptions } from '../../../../plugins/distributed-tenant/connections/target.js'
import { codeOf, stand, until } from '../stand.js'

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

t.test('a connection over TLS', { skip: hasOpenssl ? false : 'needs openssl to make a certificate' }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const certificate = (name: string) => {
    const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-x509',
        '-days',
        '2',
        '-nodes',
        '-newkey',
        'rsa:2048',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-out',
        cert,
        '-keyout',
        key,
      ],
      { stdio: 'ignore' },
    )
    return { key, cert }
  }
  const ours = certificate('ours')
  const foreign = certificate('foreign')
  const { server, look, pool: build } = await stand(t)
  const owner = statSync(server.dir)
  chmodSync(folder, 0o755)
  chmodSync(ours.key, 0o600)
  for (const path of [ours.key, ours.cert]) chownSync(path, owner.uid, owner.gid)
  for (const [name, value] of [
    ['ssl_cert_file', ours.cert],
    ['ssl_key_file', ours.key],
    ['ssl', 'on'],
  ]) {
    await look.unsafe(`alter system set ${name} = '${value}'`)
  }
  await look`select pg_reload_conf()`
  const database = { host: '127.0.0.1', port: 1, database: 'x', user: 'x', password: 'x', sslRootCert: undefined }
  const secured = async (tls: false | string | object) => {
    const [row] = await build({ target: { tls } }).client()
      .sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    return row?.ssl
  }

  await t.test('is encrypted with prefer and require, and plain with disable', async t => {
    await until(2_000, async () => (await secured('require').catch(() => false)) === true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'prefer' })), true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'require' })), true)
    t.equal(await secured(tlsOptions({ ...database, ssl: 'disable' })), false)
  })
  await t.test('checks the certificate with verify-full', async t => {
    t.equal(await secured(tlsOptions({ ...database, ssl: 'verify-full', sslRootCert: ours.cert })), true)
    t.equal(
      await codeOf(secured(tlsOptions({ ...database, ssl: 'verify-full', sslRootCert: foreign.cert }))),
      'TENANT_DATABASE_UNAVAILABLE',
    )
    const elsewhere = { rejectUnauthorized: true, ca: readFileSync(ours.cert, 'utf8'), servername: 'elsewhere.example' }
    t.equal(await codeOf(secured(elsewhere)), 'TENANT_DATABASE_UNAVAILABLE')
  })
  await t.test('is counted until the server has let go', async t => {
    const { client, pool } = build({ target: { tls: 'require', applicationName: 'tls' } })
    const alive = async () => (await look`select 1 from pg_stat_activity where application_name = 'tls'`).length
    await client().sql`select 1`
    t.same([pool.info().open, await alive()], [1, 1])
    await pool.evict('postgres')
    t.same([pool.info().open, await alive()], [0, 0])
  })
  await t.test('is cut with its query, and a killed one fails once', async t => {
    const { client, pool } = build({ target: { tls: 'require', applicationName: 'tls' } })
    const sleeps = () =>
      look`select pid from pg_stat_activity where application_name = 'tls' and wait_event = 'PgSleep'`
    const scope = client()
    const cut = codeOf(scope.sql`select pg_sleep(20)`)
    await until(2_000, async () => (await sleeps()).length === 1)
    scope.release()
    t.equal(await cut, 'TENANT_CLIENT_RELEASED')
    await until(2_000, async () => (await sleeps()).length === 0 && pool.info().open === 0)
    const killed = codeOf(client().sql`select pg_sleep(20)`)
    await until(2_000, async () => (await sleeps()).length === 1)
    await look`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tls'`
    t.equal(await killed, 'TENANT_DATABASE_UNAVAILABLE')
    t.equal(await codeOf(client().sql`select 1`), 'no error')
    await until(1_000, () => pool.info().open === 1)
  })
})
