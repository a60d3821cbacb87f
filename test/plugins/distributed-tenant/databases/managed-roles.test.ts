// What pg_upgrade from 15 leaves on PostgreSQL 16 and later: memberships without their grantors, and no ADMIN OPTION on the
// roles that the service has made.

import type postgres from 'postgres'
import t from 'tap'
import { fleet } from '../../../../operations/doctor/fleet.js'
import { bootstrap } from '../../../../operations/init/bootstrap.js'
import type { OpenService } from '../../../../operations/open-services.js'
import type { OperatorTenancy } from '../../../../operations/parts.js'
import { subscribe } from '../../../../plugins/distributed-tenant/index.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { noPostgres, otherPostgres } from '../../../other-postgres.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

const service = parseServiceName('employee')

/** As pg_dumpall, and so pg_upgrade, writes memberships of an older server: without grantor and options. */
async function asAfterUpgrade(sql: postgres.Sql): Promise<string[]> {
  const roles = await sql<{ name: string }[]>`
    select rolname as name from pg_roles where rolname ~ '^(tenant_.*|spare)_employee(_[0-9]+)?$'`
  const made = ['employee_tenant', ...roles.map(({ name }) => name)]
  for (const role of made) await sql`revoke ${sql(role)} from employee_service cascade`
  for (const { name } of roles) await sql`grant employee_tenant to ${sql(name)}`
  return made
}

t.test('roles that came by pg_upgrade to PostgreSQL 17', async t => {
  const bin = otherPostgres(t, 17)
  if (bin === null) return void t.pass(noPostgres(17), { skip: true })
  const {
    app: build,
    tenancy: open,
    look,
    database,
    servers,
  } = await rig(t, ['employee'], undefined, { employee: bin })
  const warnings: string[] = []
  t.teardown(
    subscribe(({ area, event }) => {
      if (area === 'start' && event.type === 'warning') warnings.push(event.message)
    }),
  )
  const app = await build('employee', { spares: 1 })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await until('there is a spare', async () => {
    const [row] = await look('employee', 'employee_central')`select count(*)::int as count from spares`
    return row?.count === 1
  })
  await app.close()
  t.same(
    warnings.filter(one => one.includes('ADMIN OPTION')),
    [],
  )

  const made = await asAfterUpgrade(look('employee'))
  t.equal(made.length, 3, 'the group, a tenant’s role, a spare’s')
  const tenancy = await open('employee')
  const problems = () => fleetOf(tenancy)
  t.match(
    warnings.filter(one => one.includes('ADMIN OPTION')),
    [
      /^employee_service has no ADMIN OPTION on employee_tenant, spare_employee_\d+, tenant_acme_employee \(3 role\(s\)\).*`distributed-tenant init --service employee`/,
    ],
  )
  t.match(await problems(), [
    { what: 'roles without ADMIN OPTION', about: 'employee_tenant and 2 more', cure: /init --service employee/ },
  ])
  const again = await build('employee', { spares: 1 })
  await t.rejects(again.tenants.create({ id: 'globex', name: 'Globex' }), 'a new tenant cannot be made')

  const { user, password } = servers.postgres.employee ?? {}
  const steps: string[] = []
  const init = () =>
    bootstrap({
      service,
      database: database('employee'),
      superuser: { user: user as string, password },
      onStep: line => steps.push(line),
    })
  await init()
  t.ok(steps.includes('employee_service may manage 3 role(s) of tenants again'), steps.join('\n'))
  t.same(await problems(), [])
  steps.length = 0
  await init()
  t.notOk(
    steps.some(line => line.includes('manage')),
    'once is enough',
  )

  await again.tenants.create({ id: 'globex', name: 'Globex' })
  await tenancy.repairTenant(parseTenantId('acme'))
  t.same(await problems(), [], 'a repair grants the group once more, which is no other group')
  t.match(
    await again.tenants.run(
      'acme',
      ({ sql }) => sql`
      select pg_has_role('employee_tenant', 'USAGE') as rights, pg_has_role('employee_tenant', 'SET') as becomes`,
    ),
    [{ rights: true, becomes: false }],
  )
  await look('employee', 'employee_central')`update tenants set lifecycle = 'deleted'`
  for (const id of ['acme', 'globex']) await tenancy.transfer.removeNow(parseTenantId(id))
  t.same([...(await look('employee')`select 1 from pg_roles where rolname ~ '^tenant_.*_employee$'`)], [])
})

const fleetOf = async (tenancy: OperatorTenancy) =>
  (await fleet({ name: service, target: { hasRoleKeys: true }, tenancy } as unknown as OpenService)).filter(
    // What was refused is pending, and no doctor’s finding of roles.
    ({ about }) => about !== 'globex',
  )
