// Databases give their names to each other, whatever sessions they have.
import postgres from 'postgres'
import t from 'tap'
import { type Renaming, renameDatabases } from '../../../operations/archive/rename-databases.js'
import type { SessionClient } from '../../../plugins/distributed-tenant/types.js'
import { stand } from '../../postgres/stand.js'

t.test('databases with sessions are renamed', async t => {
  const { server, look, pool, databases } = await stand(t)
  const [first = '', second = ''] = await databases(2)
  const { host, port, user, password } = server
  const connect = async (database: string): Promise<postgres.Sql> => {
    const sql = postgres({ host, port, user, password, database, max: 1, onnotice() {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    await sql`select`
    return sql
  }
  const names = async () =>
    (await look`select datname from pg_database where datname like 'db_%' order by 1`).map(({ datname }) => datname)
  await connect(first)
  await connect(second)
  const { session } = pool().client()

  await session(sql =>
    renameDatabases(
      sql,
      [
        [first, 'db_old'],
        [second, first],
      ],
      async tx => {
        await tx`alter database ${tx(first)} allow_connections true`
      },
    ),
  )
  t.same(await names(), [first, 'db_old'], 'sessions are ended')
  await connect(first)

  // The server lets a session in that was starting, which shows only after the others were ended.
  let late = false
  await session(sql => {
    const begin: SessionClient['begin'] = async work => {
      if (!late) {
        late = true
        await look`alter database ${look(first)} allow_connections true`
        await connect(first)
        await look`alter database ${look(first)} allow_connections false`
      }
      return sql.begin(work)
    }
    const watched: SessionClient = Object.assign((...args: Parameters<SessionClient>) => sql(...args), sql, { begin })
    return renameDatabases(watched, [[first, second]])
  })
  t.same(await names(), [second, 'db_old'], 'one that was starting is ended too')

  const taken: Renaming[] = [
    ['db_old', first],
    [second, first],
  ]
  await t.rejects(
    session(sql => renameDatabases(sql, taken)),
    { code: '42P04' },
  )
  t.same(await names(), [second, 'db_old'], 'all of them, or none')
})
