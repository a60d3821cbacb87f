// A tenant moves to an instance of a newer PostgreSQL while it is read and written, and goes back: from each older version that this
// machine has to the newest, which is that of PATH unless the package of another is newer. `npm run versions` puts newer ones into PATH.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { goBack, runThatFollows } from '../../../operations/move/run.js'
import { findServers } from '../../../stack/servers/find.js'
import { otherPostgres } from '../../other-postgres.js'
import { until } from '../../until.js'
import { compareLog, MANY_KINDS, onlineStand, startClients } from './online-stand.js'

const majorOf = (program: string): number =>
  Number(/ (\d+)/.exec(execFileSync(program, ['--version'], { encoding: 'utf8' }))?.[1])

t.test('moves to a newer PostgreSQL', async t => {
  const own = findServers().postgres.bin
  const debians = [15, 16, 17, 18].map(major => `/usr/lib/postgresql/${major}/bin`)
  const folders = new Map<number, string>()
  for (const bin of [own, ...debians, otherPostgres(t, 17)]) {
    if (bin === null || !existsSync(join(bin, 'postgres'))) continue
    const major = majorOf(join(bin, 'postgres'))
    if (!folders.has(major)) folders.set(major, bin)
  }
  const newest = Math.max(...folders.keys())
  const client = majorOf('pg_dump')
  const older = [...folders.keys()].filter(major => major < newest).sort()
  if (older.length === 0) return void t.pass(`there is no PostgreSQL but ${newest} here`, { skip: true })

  for (const major of older) {
    await t.test(`from ${major} to ${newest}, and back`, async t => {
      if (client < major) return void t.pass(`pg_dump is ${client} here, which is older`, { skip: true })
      const bins = { employee: folders.get(major) as string, b: folders.get(newest) as string }
      const stand = await onlineStand(t, bins)
      const { app: build, look, instances, tenancy, how, acme, place, left, move } = stand
      for (const [at, wanted] of [
        ['employee', major],
        ['b', newest],
      ] as const) {
        const [server] = await look(at)<{ major: number }[]>`
          select current_setting('server_version_num')::int / 10000 as major`
        t.equal(server?.major, wanted, at)
      }
      const options = { instances, maxConnections: 12, maxConnectionsPerTenant: 6, acquireTimeout: 20_000 }
      const app = await build('employee', options)
      await app.tenants.create({ id: 'acme', name: 'Acme' })
      await tenancy.pools.withDirectConnection('tenant_acme_employee', async sql => {
        await sql.unsafe(MANY_KINDS)
        await sql`insert into plain (body) select 'old ' || g from generate_series(1, 2000) g`
      })
      const clients = startClients(t, [app])
      const goesOn = async (when: string): Promise<void> => {
        const before = clients.accepted()
        await until(`they write ${when}`, () => clients.accepted() > before + 60)
      }
      const hasAll = async (at: string): Promise<void> => {
        const inside = look(at, 'tenant_acme_employee')
        t.same(await compareLog(inside, clients.log), { missing: [], revived: [] }, at)
        await inside.end()
      }
      await goesOn('before')
      const moved = await move('b')
      t.match(moved, { state: 'moved', way: 'online', follows: true, from: 'main', to: 'b' })
      await goesOn('on the newer one')
      const back = await goBack(tenancy.move, await runThatFollows(tenancy.move, acme), how)
      t.match(back, { state: 'back', from: 'main', to: 'b' })
      await goesOn('on the older one')
      t.match(await move('b', { follow: false }), { state: 'moved', follows: false })
      await goesOn('on the newer one, which it stays on')
      await clients.stop()
      t.comment(`held for ${moved.frozenMs} ms, and ${back.frozenMs} ms on the way back; ${clients.log.length} writes`)
      await hasAll('b')
      t.same([...clients.codes], [], 'no statement failed')
      t.same(await place(), { instance: 'b', moving: null })
      t.same(await left(), [])
    })
  }
})
