// The share of a process through faults: a limit that is lowered, a renewal that fails or stops half way, a listener that is lost, a
// start that is ended, and a central database that is frozen.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { subscribe } from '../../../../plugins/distributed-tenant/diagnostics/channels.js'
import { renewLease } from '../../../../plugins/distributed-tenant/registry/process-leases.js'
import type { SqlClient } from '../../../../plugins/distributed-tenant/types.js'
import { gate } from '../../../postgres/stand.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

/** An id that no process has. */
const STRANGER = '00000000-0000-4000-8000-000000000000'

t.test('the share of a process', async t => {
  const { tenancy, look, servers } = await rig(t, ['core'])
  const central = look('core', 'core_central')
  const granted = async () => {
    const rows = await central<{ granted: number }[]>`select granted from service_processes order by granted`
    return rows.map(row => row.granted)
  }

  await t.test('a lowered limit holds from the first process on that has it', async t => {
    const before = await tenancy('core', { serviceConnections: 90 })
    await before.join()
    t.same(await granted(), [64])
    const after = await tenancy('core', { serviceConnections: 60 })
    await after.join()
    await until('both have half of the lowered limit', async () => (await granted()).join() === '22,22')
    await before.close()
    await until('the other has all but what a start needs', async () => (await granted()).join() === '45')
    await after.close()
    t.same(await granted(), [])
  })

  await t.test('a renewal that fails is reported once, and a start ends with the reason', async t => {
    const one = await tenancy('core')
    await one.join()
    const messages: string[] = []
    t.teardown(
      subscribe(({ event }) => 'message' in event && messages.push(String(event.message)), one.origin, ['start']),
    )
    const wake = () => central`select pg_notify('fdt_processes', '')`
    await central`alter table service_processes rename to elsewhere`
    await until('a failure is reported', async () => {
      await wake()
      return messages.length > 0
    })
    const two = await tenancy('core')
    await t.rejects(two.join(500), { code: '42P01' })
    for (let n = 0; n < 10; n++) await wake().then(() => sleep(10))
    await central`alter table elsewhere rename to service_processes`
    await until('its end is reported', async () => {
      await wake()
      return messages.some(message => /renewed again/.test(message))
    })
    t.match(messages, [/cannot be renewed \(.*service_processes.*\): it keeps a budget of 50/, /renewed again/])
    t.equal(messages.length, 2, messages.join('; '))
    await one.close()
    await two.close()
  })

  await t.test('a process that stops inside a renewal keeps the others from theirs for seconds only', async t => {
    const parts = await tenancy('core')
    const { sql } = parts.pools.central
    const { passed, open } = gate()
    t.teardown(open)
    // Its third statement, behind the one that takes the lock, is never sent.
    const stopping = {
      begin: (work: (tx: object) => Promise<unknown>) =>
        sql.begin(async tx => {
          let statements = 0
          const apply = async (target: typeof tx, self: unknown, args: unknown[]) => {
            if (++statements === 3) await passed
            return Reflect.apply(target, self, args)
          }
          return work(new Proxy(tx, { apply: apply as never }))
        }),
    } as unknown as SqlClient
    const renewal = { limit: 90, wanted: 20, least: 15, holding: 0, mayRemove: false }
    const stopped = renewLease(stopping, { ...renewal, id: STRANGER }).catch(() => {})
    await until('it has the lock', async () => {
      const rows = await central`
        select 1 from pg_locks where locktype = 'advisory' and granted and pid in (
          select pid from pg_stat_activity where state = 'idle in transaction')`
      return rows.length > 0
    })
    const id = '00000000-0000-4000-8000-000000000001'
    const lease = await until('another one renews', () => renewLease(sql, { ...renewal, id }).catch(() => null))
    t.equal(lease.granted, 20)
    open()
    await stopped
    await central`delete from service_processes`
    await parts.close()
  })

  await t.test('a start that is ended while it waits for its share leaves no row', async t => {
    const options = { serviceConnections: 30 }
    const [one, two, three] = [
      await tenancy('core', options),
      await tenancy('core', options),
      await tenancy('core', options),
    ]
    await one.join()
    await two.join()
    const joined = three.join(600_000)
    await until('the third one waits', async () => (await granted()).join() === '0,15,15')
    await three.close()
    await joined
    t.same(await granted(), [15, 15])
    await one.close()
    await two.close()
  })

  await t.test('a close gives the share back when only sessions of the central database are left', async t => {
    await central.unsafe(`
      create table sessions_at_the_end (name text, sessions integer);
      create function count_sessions() returns trigger language plpgsql security definer as $$ begin
        insert into sessions_at_the_end
          select application_name, count(*) from pg_stat_activity where application_name like 'core-%' group by 1;
        return old;
      end $$;
      create trigger count_sessions before delete on service_processes for each row execute function count_sessions()`)
    const one = await tenancy('core')
    await one.join()
    await until('it listens', () => one.notifications.listening)
    const [open] = await central`
      select count(distinct application_name)::int as kinds from pg_stat_activity
      where application_name in ('core-service', 'core-listener', 'core-provisioning')`
    t.equal(open?.kinds, 3)
    await one.close()
    const left = await central<{ name: string }[]>`select name from sessions_at_the_end`
    t.same(
      [...left].map(({ name }) => name),
      ['core-service'],
    )
    await central.unsafe('drop trigger count_sessions on service_processes')
  })

  await t.test('after the loss of its listener it removes no row of another for a while', async t => {
    const one = await tenancy('core')
    await one.join()
    let lost = false
    t.teardown(
      subscribe(
        ({ event }) => {
          if ('type' in event && event.type === 'listener_lost') lost = true
        },
        one.origin,
        ['listener'],
      ),
    )
    const stale = () => central`
      insert into service_processes (id, granted, connection_limit, seen_at) values (${STRANGER}, 1, 90, now() - interval '1 hour')`
    const isThere = async () => (await central`select 1 from service_processes where id = ${STRANGER}`).length > 0
    await stale()
    await until('a row that is stale is removed', async () => !(await isThere()))
    await central`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'core-listener'`
    await until('the loss is noticed', () => lost)
    await stale()
    const [now] = await central<{ at: string }[]>`select clock_timestamp()::text as at`
    const at = now?.at ?? ''
    await until('a renewal is over', async () => {
      const rows = await central`select 1 from service_processes where seen_at > ${at}::text::timestamptz`
      return rows.length > 0
    })
    t.ok(await isThere(), 'as that process may have lost its own at the same moment')
    await until('later it is removed', async () => !(await isThere()))
    await one.close()
  })

  await t.test('a frozen central database holds up no close', async t => {
    const one = await tenancy('core', { queryTimeout: 600_000 })
    await one.join()
    const server = servers.postgres.core
    t.teardown(() => server?.thaw())
    server?.freeze()
    // Longer than the time between renewals: one is under way.
    await sleep(6_000)
    const outcome = await Promise.race([one.close().then(() => 'closed'), sleep(120_000, 'held up', { ref: false })])
    t.equal(outcome, 'closed')
  })
})
