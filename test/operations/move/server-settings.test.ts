// Settings of a server that are in the way of moves without a freeze: named by `init`, with the statement that cures each.
import t from 'tap'
import { bootstrap } from '../../../operations/init/bootstrap.js'
import { parseServiceName } from '../../../plugins/distributed-tenant/names.js'
import { startPostgres } from '../../../stack/servers/postgres.js'

const linesOf = async (server: Awaited<ReturnType<typeof startPostgres>>): Promise<string[]> => {
  const lines: string[] = []
  const { host, port, user, password } = server
  const database = {
    ...{ host, port, database: 'employee_central', user: 'employee_service', password: 'a-password' },
    ...{ ssl: 'prefer' as const, sslRootCert: undefined },
  }
  await bootstrap({
    service: parseServiceName('employee'),
    database,
    superuser: { user, password },
    onStep: line => void lines.push(line),
  })
  return lines.filter(line => line.startsWith('note'))
}

t.test('init names what is in the way', async t => {
  const settings = { wal_level: 'replica', max_replication_slots: 1, max_wal_senders: 0 }
  const poor = await startPostgres({ name: 'poor', settings })
  t.teardown(() => poor.stop())
  const [level, slots, senders, ...more] = await linesOf(poor)
  t.match(
    level,
    /--frozen alone while it has wal_level = replica: `alter system set wal_level = logical`, and restart it/,
  )
  t.match(slots, /max_replication_slots = 1, of which others use 0, .*`alter system set max_replication_slots = 10`/)
  t.match(senders, /max_wal_senders = 0, .*`alter system set max_wal_senders = 10`/)
  t.same(more, [])
})

t.test('and nothing where nothing is', async t => {
  const fit = await startPostgres({ name: 'fit' })
  t.teardown(() => fit.stop())
  t.same(await linesOf(fit), [])
})
