// The search for the primary among several servers, some of which refuse the login.
import t from 'tap'
import { openConnection } from '../../../../postgres/connections/connection.js'
import { connectorOf } from '../../../../postgres/connections/primary.js'
import { startPostgres } from '../../../../stack/servers/postgres.js'

t.test('a server that refuses does not end the search', async t => {
  const password = 'a-password-of-the-tests'
  const [behind, primary] = await Promise.all([startPostgres({ password }), startPostgres({ password })])
  t.teardown(() => Promise.all([behind.stop(), primary.stop()]))
  const { host, user } = primary
  const target = { host, port: 0, user, password, tls: false as const, applicationName: 'test', statementTimeout: 0 }
  const own = openConnection({ ...target, port: primary.port, database: 'postgres' }, 60_000)
  await own.opened
  await own.run('create database newest')
  await own.close()
  const servers = [behind, primary].map(({ port }) => ({ host, port }))
  const connect = connectorOf({
    ...{ host, port: behind.port, servers, database: 'postgres', user, password },
    ...{ ssl: 'disable', sslRootCert: undefined },
  })
  const found = connect({ ...target, database: 'newest' }, 60_000)
  await found.opened
  t.match(await found.run('select inet_server_port() as port'), [{ port: primary.port }])
  await found.close()

  const refused = { code: '3D000' }
  await t.rejects(connect({ ...target, database: 'nowhere' }, 60_000).opened, refused, 'by both')
  await primary.stop()
  await t.rejects(connect({ ...target, database: 'nowhere' }, 60_000).opened, refused, 'and not that the other is down')
})
