import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { fleet } from '../../../operations/doctor/fleet.js'
import { againstIdentity } from '../../../operations/doctor/identity-registry.js'
import type { OpenService } from '../../../operations/open-services.js'
import { parseMark } from '../../../plugins/distributed-tenant/databases/marks.js'
import { until } from '../../until.js'
import { admin, as, serviceRig } from '../rig.js'
import { reconcileSteps } from './steps.js'

const token = 'a-token-of-the-services'
const quick = { reconcileInterval: 200 }
const first = { employeeNumber: 'F-1', firstName: 'First', lastName: 'C', email: 'f@b.example', hiredOn: '2026-01-05' }

/**
 * Identity and employee by the feed alone, and an identity that can be set back to an earlier state of its
 * database.
 */
async function stand(t: Test) {
  const made = await serviceRig(t, ['identity', 'employee'])
  const root = made.look('identity')
  let identity: FastifyInstance
  let port = 0
  async function start(): Promise<void> {
    const options = { serviceTokens: [token], requiredServices: ['identity', 'employee'] }
    identity = await made.service('identity', { ...quick, nats: made.servers.nats.url }, options)
    await identity.listen({ port, host: '127.0.0.1' })
    port = (identity.server.address() as { port: number }).port
  }
  await start()
  const employee = await made.service('employee', {
    ...quick,
    nats: made.servers.nats.url,
    identity: { url: `http://127.0.0.1:${port}`, token },
  })
  const ended = () =>
    until('no session', async () => {
      const rows = await root`
      select pg_terminate_backend(pid) from pg_stat_activity where datname in ('identity_central', 'yesterday')`
      return rows.length === 0
    })
  return {
    ...made,
    employee,
    steps: reconcileSteps(t),
    operator: (method: 'GET' | 'POST', url: string, body?: object) => admin(identity)(method, url, body),
    /** The status of each service in identity’s ledger. */
    async ledger(id: string): Promise<Record<string, string>> {
      const { services = {} } = (await admin(identity)('GET', `/api/tenants/${id}`)).json()
      return Object.fromEntries(
        Object.entries<{ status: string }>(services).map(([name, { status }]) => [name, status]),
      )
    },
    async backup(): Promise<void> {
      await identity.close()
      await ended()
      await root`create database yesterday template identity_central`
      await root`alter database yesterday owner to identity_service`
      await start()
    },
    async setBack(): Promise<void> {
      await identity.close()
      await ended()
      const [mark] = await root`
        select format('comment on database identity_central is %L', shobj_description(oid, 'pg_database')) as text
        from pg_database where datname = 'identity_central'`
      await root`alter database identity_central rename to lost`
      await root`create database identity_central template yesterday owner identity_service`
      await root`revoke all on database identity_central from public`
      await root.unsafe(mark?.text)
      await start()
    },
    /** Of employee: its own findings, with identity's database at hand or not. */
    async doctor(withIdentity = false) {
      const tenancy = await made.tenancy('employee')
      const employee = { name: 'employee', tenancy, target: { roleSecret: null } } as unknown as OpenService
      const transfer = { central: made.look('identity', 'identity_central') }
      const identity = { name: 'identity', tenancy: { transfer } } as unknown as OpenService
      return [...(await fleet(employee)), ...(await againstIdentity(employee, withIdentity ? identity : null))]
    },
  }
}

const both = (status: string) => ({ identity: status, employee: status })

t.test('an identity set back gives an id away again', async t => {
  const { employee, operator, ledger, backup, setBack, look, steps } = await stand(t)
  const call = as(employee, 'acme')
  const ready = (id: string) =>
    until('ready', async () => {
      const output = await ledger(id)
      return output.identity === 'ready' && output.employee === 'ready'
    })
  await operator('POST', '/api/tenants', { id: 'elder', name: 'Elder' })
  await ready('elder')
  await backup()
  await operator('POST', '/api/tenants', { id: 'acme', name: 'First customer' })
  await ready('acme')
  t.equal((await call('POST', '/api/employees', first)).statusCode, 201)
  // An event makes the tenant ready; the feed alone says which tenant of the id it is.
  const old = await until('its incarnation is known', async () => {
    const row = await employee.tenants.find('acme')
    return row?.incarnation ? row : null
  })
  t.match(old?.incarnation, /^[0-9a-f]{32}$/)
  const root = look('employee')
  const markOf = async (name: string) => {
    const [row] =
      await root`select shobj_description(oid, 'pg_database') as mark from pg_database where datname = ${name}`
    return parseMark(row?.mark ?? null)
  }
  await until('the mark has it', async () => (await markOf('tenant_acme_employee'))?.incarnation === old?.incarnation)

  await setBack()
  t.equal((await operator('GET', '/api/tenants/acme')).statusCode, 404)
  const made = await operator('POST', '/api/tenants', { id: 'acme', name: 'Second customer' })
  t.equal(made.statusCode, 202, made.body)

  await t.test('the old customer’s data is served to no request', async t => {
    await until('refused', async () => (await call('GET', '/api/employees')).statusCode === 503)
    await until(
      'the conflict is reported',
      async () => (await employee.tenants.find('acme'))?.provisioned === 'foreign',
    )
    t.match(await employee.tenants.find('acme'), { name: 'Second customer', version: 1, certificate: null })
    t.match(
      // Before the second one is created, the comparison may also find that identity has none.
      steps('employee').filter(
        event => event.type === 'drift' && event.id === 'acme' && event.kind !== 'unknown_tenant',
      ),
      [
        { kind: 'other_incarnation', action: 'stopped' },
        { kind: 'other_incarnation', action: 'reported' },
      ].slice(0, 1),
    )
    // What the alert TenantOtherIncarnation asks for.
    const metrics = await employee.inject('/metrics')
    t.match(metrics.body, /^fdt_other_incarnation_total\{service="employee"\} [1-9]/m)
    await until('the ledger has it', async () => {
      const output = await ledger('acme')
      return output.identity === 'foreign' && output.employee === 'foreign'
    })
    await operator('POST', '/api/tenants/acme/retry')
    await until('tried again', async () => ((await employee.tenants.find('acme'))?.attempts ?? 0) > 1)
    t.not((await call('GET', '/api/employees')).statusCode, 200)
    t.equal((await markOf('tenant_acme_employee'))?.incarnation, old?.incarnation, 'its mark is unchanged')
  })

  await t.test('once its databases are renamed, the new customer gets its own', async t => {
    const name = 'tenant_acme_employee'
    for (const service of ['identity', 'employee'] as const) {
      const sql = look(service)
      const database = `tenant_acme_${service}`
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${database}`
      await sql`alter database ${sql(database)} rename to ${sql(`aside_${service}`)}`
    }
    await operator('POST', '/api/tenants/acme/retry')
    await ready('acme')
    t.same((await call('GET', '/api/employees')).json().items, [])
    const [rights] = await root`select has_database_privilege(${name}, 'aside_employee', 'connect') as enters`
    t.equal(rights?.enters, false, 'the role of the id may not enter the renamed database')
    t.not((await employee.tenants.find('acme'))?.incarnation, old?.incarnation)
  })

  await t.test('a tenant from before is still served, and the ledger is right', async t => {
    t.same(await ledger('elder'), both('ready'))
    t.equal((await as(employee, 'elder')('GET', '/api/employees')).statusCode, 200)
  })
})

t.test('an identity that lost a tenant', async t => {
  const { employee, operator, ledger, backup, setBack, doctor, look } = await stand(t)
  const call = as(employee, 'acme')
  await backup()
  await operator('POST', '/api/tenants', { id: 'acme', name: 'Acme' })
  await until('ready', async () => (await ledger('acme')).employee === 'ready')
  t.equal((await call('POST', '/api/employees', first)).statusCode, 201)
  const { incarnation } = (await until('learned', async () => {
    const row = await employee.tenants.find('acme')
    return row?.incarnation && row
  })) as { incarnation: string }
  t.same(
    (await doctor()).filter(({ about }) => about === 'acme'),
    [],
  )
  await setBack()
  const cure = await until('doctor names it', async () => {
    return (await doctor()).find(({ what, about }) => what === 'unknown to identity' && about === 'acme')?.cure
  })
  t.match(cure, `--id acme --incarnation ${incarnation}`)
  t.equal((await call('GET', '/api/employees')).statusCode, 200, 'it is served meanwhile')
  await operator('POST', '/api/tenants', { id: 'acme', name: 'Acme', incarnation })
  await until('the ledger is repaired by itself', async () => {
    const output = await ledger('acme')
    return output.identity === 'ready' && output.employee === 'ready'
  })
  t.match((await call('GET', '/api/employees')).json().items, [{ employeeNumber: 'F-1' }])
  await until('no finding is left', async () => (await doctor()).every(({ about }) => about !== 'acme'))
  const [row] = await look('employee', 'employee_central')`select count(*)::int as count from feed_doubts`
  t.equal(row?.count, 0)
})

t.test('doctor compares a registry with identity’s, whether a service runs or not', async t => {
  const { employee, operator, ledger, backup, setBack, doctor, look } = await stand(t)
  const central = look('employee', 'employee_central')
  const create = async (id: string) => {
    t.equal((await operator('POST', '/api/tenants', { id, name: `Of ${id}` })).statusCode, 202)
    await until('ready', async () => {
      const output = await ledger(id)
      return output.identity === 'ready' && output.employee === 'ready'
    })
    await until('learned', async () => (await employee.tenants.find(id))?.incarnation)
  }
  await backup()
  for (const id of ['lost', 'early', 'again']) await create(id)
  t.equal((await as(employee, 'early')('POST', '/api/employees', first)).statusCode, 201)
  // Employee ends before it can read what a promoted standby has.
  await employee.close()
  // Of an event that came before the feed said which tenant it is.
  await central`update tenants set incarnation = null, created_at = now() - interval '1 hour' where id = 'early'`
  await setBack()
  for (const id of ['again', 'newer'])
    t.equal((await operator('POST', '/api/tenants', { id, name: `New ${id}` })).statusCode, 202)
  await look('identity', 'identity_central').unsafe(`
    alter table tenants disable trigger tenants_changed;
    update tenants set created_at = now() - interval '1 hour', updated_at = now() - interval '1 hour';
    alter table tenants enable trigger tenants_changed`)

  const found = (await doctor(true)).map(({ what, about, cure }) => [what, about, cure])
  t.match(found.sort(), [
    ['missing here', 'newer', /is employee running/],
    ['other incarnation than identity’s', 'again', /identity has given the id away again/],
    ['unknown to identity', 'early', /`create "Of early" --id early` accepts it, with its data/],
    ['unknown to identity', 'lost', /`create "Of lost" --id lost --incarnation [0-9a-f]{32}` gives it back/],
  ])
  t.equal(found.length, 4)
})
