// The types of the client: its methods, and the missing ones. Compiled with everything else; never run.

import type { SqlClient, TransactionClient } from '../../plugins/distributed-tenant/types.js'
import type { ClientScope } from '../../postgres/sql/client.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>): void => {}

export async function offered(sql: SqlClient): Promise<void> {
  const rows = await sql<{ id: number }[]>`select 1 as id where ${sql`true`} and id = any(${sql.array([1])})`
  same<(typeof rows)[number]['id'], number>(true)
  await sql`insert into t ${sql([{ a: 1 }])}`
  await sql`update t set ${sql({ a: 1, b: 2 }, 'a')}`
  await sql`select ${sql.json({ a: [1] })}, ${sql.typed(1, 23)}, ${sql('name')}`
  for await (const batch of sql<{ id: number }[]>`select 1 as id`.cursor(10))
    same<(typeof batch)[number]['id'], number>(true)
  await sql`select 1`.cursor(10, () => sql.CLOSE)
  const one = await sql.begin(async () => 1)
  same<typeof one, number>(true)
  const pair = await sql.begin('read only', sql => [sql<{ a: 1 }[]>`select 1 as a`, Promise.resolve('x')] as const)
  same<(typeof pair)[1], string>(true)
  await sql.begin(sql => sql.savepoint('name', sql => sql.savepoint(sql => sql`select 1`)))
}

export function refused(sql: SqlClient, tx: TransactionClient, scope: ClientScope): void {
  // @ts-expect-error a notification needs a connection that outlives the request
  sql.listen('channel', () => {})
  // @ts-expect-error
  sql.subscribe('*', () => {})
  // @ts-expect-error a reserved connection would outlive its request
  sql.reserve()
  // @ts-expect-error the connections belong to the plugin
  sql.end()
  // @ts-expect-error
  sql.close()
  // @ts-expect-error
  sql.largeObject()
  // @ts-expect-error a transaction does not begin another: it has savepoints
  tx.begin(() => 1)
  // @ts-expect-error nor can it be prepared, which would outlive its request
  tx.prepare('name')
  // @ts-expect-error savepoints are of transactions
  sql.savepoint(() => 1)
  // @ts-expect-error a scope ends by itself
  scope.over = false
}
