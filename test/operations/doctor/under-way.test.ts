// What `doctor` reports of work that goes on at this moment: a note, which leaves its exit code at 0. Once that work has stopped, the same
// state is a problem.
import postgres from 'postgres'
import t from 'tap'
import { stores } from '../../../operations/doctor/events.js'
import { fleet } from '../../../operations/doctor/fleet.js'
import type { Problem } from '../../../operations/doctor/problem.js'
import type { OpenService } from '../../../operations/open-services.js'
import type { PostgresServer } from '../../../stack/servers/postgres.js'
import { fixture, rig } from '../../rig.js'

t.test('doctor while a service or a command is at work', async t => {
  const { app: build, tenancy: open, look, servers } = await rig(t, ['employee'])
  const migrations = { tenant: fixture('schemas') }
  const tenancy = await open('employee', { spares: 2, migrations })
  const service = { name: 'employee', target: { hasRoleKeys: true }, tenancy } as unknown as OpenService
  const central = look('employee', 'employee_central')
  const { host, port, user, password } = servers.postgres.employee as PostgresServer

  /** Runs `work` while another session holds the lock, as the process does that is at work. */
  async function during<T>(lock: string, work: () => Promise<T>, shared = ''): Promise<T> {
    const session = postgres({ host, port, user, password, database: 'employee_central', max: 1, onnotice() {} })
    await session.unsafe(`select pg_advisory_lock${shared}(hashtextextended('distributed_tenant.${lock}', 0))`)
    return work().finally(() => session.end())
  }
  const said = (problems: readonly Problem[], about: string | RegExp): (readonly [what: string, isNote: boolean])[] =>
    problems
      .filter(one => (typeof about === 'string' ? one.about === about : about.test(one.about)))
      .map(({ what, note = false }) => [what, note] as const)
  const spares = async () => said(await stores(service), /of 2$/)
  const of = async (id: string) => said(await fleet(service), id)
  const tenant = async (id: string, state: string, ago: string) => {
    await central`delete from tenants where id = ${id}`
    await central.unsafe(`insert into tenants (id, name, provisioned, updated_at, ready_at)
      values ('${id}', '${id}', '${state}', now() - interval '${ago}', now() - interval '${ago}')`)
  }

  await t.test('spares that are missing', async t => {
    t.same(await spares(), [['spares missing', false]])
    t.same(await during('spares', spares), [['spares are being made', true]])
    t.same(await spares(), [['spares missing', false]], 'their maker has ended')
    await tenant('taken', 'ready', '1 second')
    t.same(await spares(), [['spares are being made', true]], 'one was taken just now')
    await tenant('taken', 'ready', '2 minutes')
    t.same(await spares(), [['spares missing', false]])
    await central`delete from tenants`
  })

  await t.test('a tenant whose database is made', async t => {
    await tenant('acme', 'pending', '1 second')
    t.same(await of('acme'), [['being made', true]])
    await tenant('acme', 'pending', '2 minutes')
    t.same(await of('acme'), [['pending', false]], 'no process has taken it')
    t.same(await during('provision:acme', () => of('acme')), [['being made', true]], 'an attempt takes long')
    await central`update tenants set last_error = 'no room' where id = 'acme'`
    t.same(await of('acme'), [['pending', false]], 'an attempt has failed')
    await central`delete from tenants`
  })

  await t.test('a tenant that is moved, and one that is imported', async t => {
    const app = await build('employee', { migrations })
    await app.tenants.create({ id: 'acme', name: 'Acme' })
    await app.close()
    await central`update tenants set moving = 'copying' where id = 'acme'`
    t.same(await of('acme'), [['being moved', false]], 'of no run')
    await central`insert into transfers (id, kind, source) values ('20260101-aaaaaa', 'move', 'main>b'), ('20260101-bbbbbb', 'import', 'old')`
    for (const [run, id] of [
      ['20260101-aaaaaa', 'acme'],
      ['20260101-bbbbbb', 'globex'],
    ] as const)
      await central`
        insert into transfer_tenants (transfer_id, tenant_id, source_database, facts, baseline, bytes, step)
        values (${run}, ${id}, ${`tenant_${id}_employee`}, '{}', 0, 0, 'copying')`
    t.same(await of('acme'), [['being moved', false]], 'its process is gone')
    t.same(await during('run:20260101-aaaaaa', () => of('acme'), '_shared'), [['being moved', true]])
    t.same(await of('globex'), [['being imported', false]])
    t.same(await during('run:20260101-bbbbbb', () => of('globex'), '_shared'), [['being imported', true]])
    await central`insert into move_batches (id, kind, instance) values ('20260101-cccccc', 'drain', 'main')`
    await central`
      insert into move_batch_tenants (batch_id, tenant_id, target, bytes, state, transfer_id)
      values ('20260101-cccccc', 'acme', 'b', 0, 'moving', '20260101-aaaaaa')`
    t.same(await of('acme'), [['being moved', false]])
    t.same(await during('run:20260101-cccccc', () => of('acme'), '_shared'), [['being moved', true]], 'by a drain')
    await central`update tenants set moving = null`
    await central`delete from transfers`
  })

  await t.test('a tenant that is to be migrated', async t => {
    await central`update tenants set schema_version = 0`
    t.same(await of('acme'), [['schema behind', false]])
    t.same(await during('migration_run', () => of('acme')), [['schema behind', true]])
  })
})
