// Changing the secret while everything runs: processes of the old and the new configuration serve the same tenants.
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { hear, type Told } from '../../../../plugins/distributed-tenant/channels.js'
import { parseTenantId } from '../../../../plugins/distributed-tenant/databases/names.js'
import { rig, roleSecret, until } from '../../../rig.js'
import { codeOf } from '../stand.js'

t.test('a new key', async t => {
  const { app: build, tenancy: parts, look } = await rig(t, ['employee'])
  const server = look('employee')
  const [k1, k2] = [roleSecret, `k2:${'another-secret-of-the-tests-'.repeat(2)}`]
  const id = parseTenantId('acme')
  const cut = async (app: FastifyInstance) => {
    await server`select pg_terminate_backend(pid) from pg_stat_activity where usename like 'tenant%'`
    await until('the cut is seen', 5_000, () => app.tenants.connectionInfo().open === 0)
  }
  const verifiers = async () =>
    (await server`select rolname, rolpassword from pg_authid where rolname like 'tenant%' order by 1`).map(
      row => row.rolpassword,
    )
  const before = await build('employee', { roleSecret: k1 })
  await before.tenants.create({ id: 'acme', name: 'Acme' })
  await before.tenants.create({ id: 'globex', name: 'Globex' })
  const old = await verifiers()

  await t.test('that is current opens roles of the older one, without an error, ten at a time', async t => {
    const both = await build('employee', { roleSecret: `${k2},${k1}`, maxConnectionsPerTenant: 10 })
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => codeOf(both.tenants.run('acme', ({ sql }) => sql`select pg_sleep(0.02)`))),
    )
    t.same(outcomes, Array(10).fill('no error'))
    t.same(await verifiers(), old, 'nothing was changed by being used')
  })

  await t.test('is what a tenant’s role gets at its next provisioning, and the fleet shows who has not', async t => {
    const both = await parts('employee', { roleSecret: `${k2},${k1}` })
    t.same(
      (await both.inspectFleet()).tenants.map(({ findings }) => findings),
      [['role_key'], ['role_key']],
    )
    t.match(await both.provisioner.provision(id), { provisioned: 'ready' })
    await both.repairTenant(parseTenantId('globex'))
    t.same(
      (await both.inspectFleet()).tenants.map(({ findings }) => findings),
      [[], []],
    )
    const now = await verifiers()
    t.equal(new Set([...old, ...now]).size, 4)
  })

  await t.test('that stands behind the current one is found too', async t => {
    const behind = await build('employee', { roleSecret: `${k1},${k2}` })
    t.equal(await codeOf(behind.tenants.run('acme', ({ sql }) => sql`select 1`)), 'no error')
    await cut(behind)
    t.equal(await codeOf(behind.tenants.run('acme', ({ sql }) => sql`select 1`)), 'no error')
  })

  await t.test('that a process does not have keeps it out, and the role is left as it is', async t => {
    const now = await verifiers()
    await cut(before)
    const told: Told[] = []
    t.teardown(hear(step => told.push(step), undefined, ['role']))
    const outcome = await codeOf(before.tenants.run('acme', ({ sql }) => sql`select 1`))
    t.equal(outcome, 'TENANT_DATABASE_UNAVAILABLE')
    const failed = await until('told', 5_000, () =>
      told.find(step => step.area === 'role' && step.event.type === 'mend_failed'),
    )
    t.match(failed, {
      event: { id: 'acme', error: { code: 'TENANT_ROLE_KEY_UNKNOWN', message: /TENANT_ROLE_SECRET/ } },
    })
    t.same(await verifiers(), now)
  })

  await t.test('is in no log line, error or statement', async t => {
    const error = await before.tenants.run('acme', ({ sql }) => sql`select 1`).catch((error: Error) => error)
    const told = JSON.stringify(error, Object.getOwnPropertyNames(error)) + String((error as Error).cause)
    t.notMatch(told, /secret-of-the-tests|[0-9a-f]{64}/)
  })
})
