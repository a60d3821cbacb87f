// The login by which the old copy of a moved tenant follows keeps its right when the tenant's other rights are repaired; any other role
// loses what it has.

import t from 'tap'
import { parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { rig } from '../../../rig.js'

const FOLLOWING = 'fdt_move_20260101_abcdef_back'
const OTHERS = ['fdt_move_20260101_000000', 'a_reader']

t.test('the login of a copy that follows', async t => {
  const { app: build, tenancy: open, look } = await rig(t, ['employee'])
  const app = await build('employee')
  const tenancy = await open('employee')
  const server = look('employee')
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  // Else its own comparison repairs what is to be found.
  await app.close()
  await server.unsafe(`create role ${FOLLOWING} login replication`)
  for (const role of OTHERS) await server.unsafe(`create role ${role} login`)
  for (const role of [FOLLOWING, ...OTHERS])
    await server.unsafe(`grant connect, temporary on database tenant_acme_employee to ${role}`)
  // Another finding, which a service repairs within a minute.
  await server.unsafe(`alter role tenant_acme_employee set work_mem = '1MB'`)
  const rights = (role: string) => server`
    select has_database_privilege(${role}, 'tenant_acme_employee', 'CONNECT') as connect,
      has_database_privilege(${role}, 'tenant_acme_employee', 'TEMPORARY') as temporary`
  const findings = async () => (await tenancy.inspectFleet()).tenants[0]?.findings

  t.same(await findings(), ['open_to_others', 'role_settings'])
  await tenancy.repairTenant(parseTenantId('acme'))
  t.same([...(await rights(FOLLOWING))], [{ connect: true, temporary: false }])
  for (const role of OTHERS) t.same([...(await rights(role))], [{ connect: false, temporary: false }], role)
  t.same(await findings(), [])
  t.same([...(await rights('tenant_acme_employee'))], [{ connect: true, temporary: true }])
})
