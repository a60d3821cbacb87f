// An archive of format 1, written by an earlier release: format-1.tar beside this file. It has neither rights nor
// settings of the database nor the product's own schema, and is restored all the same.
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { unproven } from '../../../operations/archive/compatibility.js'
import type { Authority } from '../../../operations/archive/restore-plan.js'
import { createServiceRestore } from '../../../operations/archive/restore-service.js'
import { recover } from '../../../operations/archive/restore-tenant.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import {
  applyTenantState,
  findTenant,
  insertTenant,
  type TenantState,
} from '../../../plugins/distributed-tenant/registry/tenants-table.js'
import { notes, rig } from '../../rig.js'
import { until } from '../../until.js'

const acme = parseTenantId('acme')

t.test('an archive of format 1 is restored, and the tenant reads and writes', async t => {
  const { tenancy, app: build, look } = await rig(t, ['employee'])
  const now = await tenancy('employee', { migrations: { tenant: notes } })
  const { central } = now.transfer
  const state: TenantState = { id: acme, version: 1, name: 'Acme', domain: null, settings: {}, lifecycle: 'active' }
  await insertTenant(central, state)
  await now.provisioner.provision(acme)
  await applyTenantState(central, { id: acme, version: 2, lifecycle: 'deleted' })

  const archive = await openArchive('test/operations/archive/format-1.tar')
  t.teardown(() => archive.close())
  const { manifest, sha256 } = archive
  t.match(manifest, { formatVersion: 1, services: [{ service: 'employee', settings: undefined, views: undefined }] })
  t.match(unproven(manifest), /format 1, .* did not try out .*--as <new-id>/, 'as a dry run says')
  t.equal(unproven({ formatVersion: 2 }), null)
  const [part] = manifest.services
  if (!part) throw new Error('the archive holds no service')
  const programs = createPrograms({ environment: { PATH: process.env.PATH } })
  const authority: Authority = {
    find: async () => ({ ...state, version: 2, lifecycle: 'deleted' }),
    restore: async () => ({ ...state, version: 3 }),
    create: () => Promise.reject(new Error('not asked for')),
    suspend: () => Promise.reject(new Error('not asked for')),
    refused: () => false,
  }
  let over = false
  const provisioning = (async () => {
    while (!over) {
      await now.provisioner.provision(acme).catch(() => {})
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  })()
  try {
    const services = [
      { parts: now.transfer, restore: await createServiceRestore(now.transfer, acme, { part, programs, sha256 }) },
    ]
    const how = { as: false, replace: false, partial: false, withoutDomain: false, absent: [] }
    await recover({ id: acme, archive, services, authority, ...how })
  } finally {
    over = true
    await provisioning
  }
  t.match(await findTenant(central, acme), { lifecycle: 'active', provisioned: 'ready', schemaVersion: 1 })

  const inside = look('employee', 'tenant_acme_employee')
  t.teardown(() => inside.end({ timeout: 1 }))
  t.same(
    (await inside`select body from notes order by id`).map(({ body }) => body),
    ['kept', 'by an older release'],
  )
  t.same([...(await inside`select total::int from sums`)], [{ total: 42 }], 'a materialized view has its rows')
  t.same([...(await inside`select nextval('numbers')::int as next`)], [{ next: 3 }], 'a sequence continues')

  // Rights are not in the archive: every tenant's role gets its own.
  const app = await build('employee', { migrations: { tenant: notes } }, one =>
    one.get('/', { config: { tenant: 'required' } }, async ({ sql }) => {
      await sql`insert into notes (body) values ('written later')`
      return sql`select count(*)::int as count, (select sum(n)::int from totals) as totals from notes`
    }),
  )
  const answer = await until('served', async () => {
    const reply = await app.inject({ url: '/', headers: { 'hrms-client-id': 'acme' } })
    return reply.statusCode === 200 ? reply.json() : null
  })
  t.match(answer, [{ totals: 42 }])
  t.ok(answer[0].count >= 3)
})
