// A server without TLS where TLS is required: every message about it names DB_SSLMODE.
import t from 'tap'
import { bootstrap } from '../../../../operations/init/bootstrap.js'
import { parseServiceName } from '../../../../plugins/distributed-tenant/names.js'
import { tlsOptions } from '../../../../postgres/connections/target.js'
import { makeCertificates } from '../../../certificates.js'
import { nothingUncaught, stand } from '../../../postgres/stand.js'
import { rig } from '../../../rig.js'

t.test('a connection that requires TLS from a server without it', async t => {
  const { ca } = makeCertificates(t)
  const { pool: build } = await stand(t)
  const database = { host: '127.0.0.1', port: 1, database: 'x', user: 'x', password: 'x', sslRootCert: ca }
  for (const ssl of ['require', 'verify-full'] as const) {
    const { client, pool } = build({ target: { tls: tlsOptions({ ...database, ssl }) } })
    const error = await client().sql`select 1`.then(
      () => ({}),
      (error: object) => error,
    )
    t.match(
      error,
      { code: 'TENANT_DATABASE_UNAVAILABLE', cause: { code: 'ERR_TLS_NOT_OFFERED', message: /DB_SSLMODE=disable/ } },
      ssl,
    )
    t.equal(pool.info().open, 0, 'and is no longer counted')
  }
  for (const ssl of ['prefer', 'disable'] as const) {
    const [row] = await build({ target: { tls: tlsOptions({ ...database, ssl }) } }).client().sql`select 1 as one`
    t.same({ ...row }, { one: 1 }, ssl)
  }
})

t.test('a service that requires TLS from a server without it', async t => {
  nothingUncaught(t)
  const { tenancy, database, servers } = await rig(t, ['employee', 'billing'])
  const cure = /has no TLS: .*DB_SSLMODE=disable/
  const wanting = (service: string) => ({ ...database(service), ssl: 'require' as const })
  for (const production of [false, true]) {
    const started = tenancy('employee', {
      database: wanting('employee'),
      production,
      trustedGateway: true,
      identity: null,
    })
    await t.rejects(started, { code: 'CONFIGURATION_INVALID', message: cure }, `production: ${production}`)
    await t.rejects(started, { message: /^(?!.*check DB_HOST)/ }, 'and no wrong cause')
  }
  const { user, password } = servers.postgres.employee as { user: string; password: string }
  const made = bootstrap({
    service: parseServiceName('employee'),
    database: wanting('employee'),
    superuser: { user, password },
    onStep: () => {},
  })
  await t.rejects(made, { code: 'CONFIGURATION_INVALID', message: cure }, 'init')
  await t.rejects(made, { message: /^(?!.*check DB_HOST)/ }, 'init, and no wrong cause')
})
