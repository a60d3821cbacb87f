// The search for the primary among several servers: some refuse the login, one is frozen while its standby is promoted.
import { chownSync } from 'node:fs'
import postgres from 'postgres'
import t from 'tap'
import { openConnection } from '../../../postgres/connections/open-connection.js'
import { connectorOf } from '../../../postgres/connections/primary.js'
import { makeFolder } from '../../../stack/servers/folder.js'
import { startPostgres } from '../../../stack/servers/postgres.js'
import { serverOwner } from '../../../stack/servers/postgres-cluster.js'
import { startStandby } from '../../../stack/servers/standby.js'
import { until } from '../../until.js'

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

t.test('a standby that is promoted while the search waits for a frozen primary is found by it', async t => {
  const folder = makeFolder()
  t.teardown(() => folder.remove())
  const owner = serverOwner()
  if (owner) chownSync(folder.path, owner.uid, owner.gid)
  const primary = await startPostgres({ dir: folder.path, name: 'primary' })
  t.teardown(() => primary.kill())
  const standby = await startStandby(primary, { dir: folder.path, name: 'standby' })
  t.teardown(() => standby.stop())
  const { host, user, password } = primary
  const look = postgres({ host, port: standby.port, user, password, database: 'template1', max: 1 })
  t.teardown(() => look.end({ timeout: 1 }))
  await look`select 1`
  primary.freeze()
  const servers = [primary, standby].map(({ port }) => ({ host, port }))
  const connect = connectorOf({
    ...{ host, port: primary.port, servers, database: 'postgres', user, password },
    ...{ ssl: 'disable', sslRootCert: undefined },
  })
  const target = { host, port: 0, user, password, tls: false as const, applicationName: 'test', statementTimeout: 0 }
  const found = connect({ ...target, database: 'postgres' }, 60_000)
  found.opened.catch(() => {})
  await until('the standby was asked', async () => {
    const [row] = await look<[{ asked: boolean }]>`
      select sessions > 0 as asked from pg_stat_database where datname = 'postgres'`
    return row.asked
  })
  await look`select pg_promote(false)`
  await found.opened
  t.match(await found.run('select inet_server_port() as port'), [{ port: standby.port }])
  await found.close()
})
