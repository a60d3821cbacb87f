// Registry migration 010 on rows of a registry at 009, taken back and applied again: no tenant is lost, and each is served.
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import t from 'tap'
import { revert } from '../../../../plugins/distributed-tenant/migration-runs/revert.js'
import { type MigrationSet, readMigrations } from '../../../../postgres/migrations/migration-files.js'
import { appliedVersion, migrate } from '../../../../postgres/migrations/migrations.js'
import { notes, rig } from '../../../rig.js'
import { until } from '../../../until.js'

const folder = fileURLToPath(new URL('../../../../plugins/distributed-tenant/migrations/registry', import.meta.url))
const registry = readMigrations('registry', folder)
const upTo = (version: number): MigrationSet => ({
  ...registry,
  version,
  migrations: registry.migrations.slice(0, version),
})

t.test('registry migration 010', async t => {
  const { app: build, tenancy: open, database, look } = await rig(t, ['employee'])
  const incarnation = '0123456789abcdef0123456789abcdef'
  /** All that both versions have; `revision` and `updated_at` are those of the row's last change. */
  const rows = () => look('employee', 'employee_central')`
    select id, name, domain, settings, version, lifecycle, provisioned, certificate, schema_version, revision, updated_at,
      deleted_at, purge_after, instance from tenants order by id`
  const columns = async () => {
    const found = await look('employee', 'employee_central')`
      select column_name as name from information_schema.columns
      where table_schema = 'public' and (table_name, column_name) in (('tenants', 'incarnation'), ('feed_cursor', 'history'))
      union select 'feed_doubts' where to_regclass('feed_doubts') is not null order by 1`
    return found.map(({ name }) => name)
  }

  await t.test('is applied to old rows, which change in nothing and have no incarnation', async t => {
    const { host, port, user, password } = database('employee') as Record<'host' | 'user' | 'password', string> & {
      port: number
    }
    // As the service's own role, whose tables they are.
    const own = { host, port, user, password, database: 'employee_central' }
    const central = postgres({ ...own, max: 1, onnotice() {} })
    t.teardown(() => central.end({ timeout: 1 }))
    await migrate(central as never, upTo(9))
    await central`
      insert into tenants (id, version, name, settings, lifecycle, provisioned, purge_after, next_attempt_at) values
        ('acme', 3, 'Acme', '{"plan":"large"}', 'active', 'pending', null, now()),
        ('asleep', 2, 'Asleep', '{}', 'suspended', 'pending', null, now()),
        ('gone', 4, 'Gone', '{}', 'deleted', 'removed', now() - interval '1 day', null)`
    const before = await rows()
    t.equal(before.length, 3)
    t.same(await columns(), [])
    t.same(
      await migrate(central as never, registry),
      registry.migrations.slice(9).map(({ version }) => version),
    )
    t.same(await rows(), before)
    const [known] = await central`select count(incarnation)::int as count from tenants`
    t.equal(known?.count, 0)
    t.same(await columns(), ['feed_doubts', 'history', 'incarnation'])
  })

  await t.test('and the service provisions and serves them', async t => {
    const app = await build('employee', { migrations: { tenant: notes } }, one =>
      one.get(
        '/',
        { config: { tenant: 'required' } },
        request => request.sql`select count(*)::int as count from notes`,
      ),
    )
    const ask = async (id: string) => (await app.inject({ url: '/', headers: { 'hrms-client-id': id } })).json()
    for (const id of ['acme', 'asleep']) {
      await until(`${id} is ready`, async () => (await app.tenants.find(id))?.provisioned === 'ready')
    }
    t.same(await ask('acme'), [{ count: 0 }])
    t.match(await ask('asleep'), { code: 'TENANT_SUSPENDED' })
    t.match(await ask('gone'), { code: 'TENANT_NOT_FOUND' })
    await app.close()
  })

  await t.test('is taken back with rows, and applied again', async t => {
    const { pools } = await open('employee')
    const sql = pools.provisioning.sql
    await sql`update tenants set incarnation = ${incarnation} where id = 'acme'`
    await sql`insert into feed_doubts (id, kind) values ('acme', 'event')`
    const before = await rows()
    t.same(
      await revert(sql, registry, 9),
      registry.migrations
        .slice(9)
        .map(({ version }) => version)
        .reverse(),
    )
    t.equal(await appliedVersion(sql, 'registry'), 9)
    t.same(await columns(), [])
    t.same(await rows(), before)
    // What a release at 009 does: its triggers and functions are there again.
    await sql`update tenants set name = 'Acme again' where id = 'acme'`
    const [changed] = await sql`select revision from tenants where id = 'acme'`
    t.equal(Number(changed?.revision), Number(before[0]?.revision) + 1)
    await sql`insert into tenants (id, version, name, lifecycle, provisioned) values ('fresh', 1, 'Fresh', 'active', 'pending')`
    const [spare] = await sql`
      select take_spare('fresh', 'employee', 'none', 1, 'v', 'k', 'm', 's', '{}'::jsonb, now()) as answer`
    t.equal(spare?.answer, 'none', 'take_spare of 009 works on its tables')

    await migrate(sql, registry)
    t.same(await columns(), ['feed_doubts', 'history', 'incarnation'])
    t.match(await rows(), [
      { id: 'acme', name: 'Acme again', provisioned: 'ready' },
      { id: 'asleep' },
      { id: 'fresh' },
      { id: 'gone' },
    ])
  })

  await t.test('after which the tenant is served from its own database', async t => {
    const app = await build('employee', { migrations: { tenant: notes } }, one =>
      one.get('/', { config: { tenant: 'required' } }, request => request.sql`select current_database() as name`),
    )
    const answer = await app.inject({ url: '/', headers: { 'hrms-client-id': 'acme' } })
    t.match(answer.json(), [{ name: 'tenant_acme_employee' }])
  })
})
