// A long-lived connection holds as much after thirty thousand statements as after two thousand.
// In a process of its own: it measures memory.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Connection } from '../../../postgres/connections/connection.js'
import { until } from '../../until.js'
import { stand } from '../stand.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

t.test('a long-lived connection', async t => {
  const { pool: build } = await stand(t)
  const { client, pool, reports } = build({ budget: 1, perKey: 1 })
  let watching = 0
  const lease = await pool.acquire('postgres', { over: false, onOver: () => () => {} })
  const connection = lease.connection as { -readonly [Key in keyof Connection]: Connection[Key] }
  const { watch } = connection
  connection.watch = onLost => {
    watching++
    const off = watch(onLost)
    return () => {
      watching--
      off()
    }
  }
  lease.release('clean')

  // Ten statements or more each round, the plugin's own commands included.
  const requests = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at += 10) {
      const scope = client()
      const { sql } = scope
      await sql`select ${at}::int as n`
      await sql.begin(async sql => {
        await sql`select 1`
        await sql.savepoint(sql => sql`select ${'x'}::text`)
      })
      await sql`select 1 / ${0}::int`.catch(() => {})
      await sql.begin(() => Promise.reject(new Error('a failure of the user'))).catch(() => {})
      scope.release()
    }
  }
  const heap = async (): Promise<number> => {
    reports.length = 0
    // One collection leaves objects that finalisers and weak maps still hold, up to 1.3 MiB here.
    for (let round = 0; round < 4; round++) {
      collect()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    return process.memoryUsage().heapUsed / 1024
  }
  const after = async (count: number): Promise<number> => {
    await requests(count)
    await until(() => pool.info().idle === 1)
    return heap()
  }
  const heaps = [await after(2_000)]
  for (let stretch = 0; stretch < 5; stretch++) heaps.push(await after(6_000))
  const grown = heaps.slice(1).map((now, at) => now - (heaps[at] ?? 0))
  t.equal(watching, 0, 'no listener is left on it')
  t.equal(lease.connection.lost, null, 'and it is the same one')
  // One closure of 100 bytes kept per statement is 600 KiB in every stretch. Code that the engine compiles, caches
  // and frees moves the heap by as much in one of them, not in most.
  const usual = [...grown].sort((one, other) => one - other)[2] ?? 0
  t.ok(usual < 400, `grew by ${grown.map(Math.round).join(', ')} KiB`)
})
