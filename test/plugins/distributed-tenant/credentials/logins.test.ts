// Rotation of the secret under load: processes of the old and the new configuration serve the same tenants.

import t from 'tap'
import { createLogins, type Login } from '../../../../plugins/distributed-tenant/credentials/logins.js'
import {
  createCredentials,
  parseRoleKeys,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { subscribe } from '../../../../plugins/distributed-tenant/diagnostics/channels.js'
import type { PublishedStep } from '../../../../plugins/distributed-tenant/diagnostics/steps.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import type { Tenancy } from '../../../../plugins/distributed-tenant/tenancy.js'
import { codeOf } from '../../../postgres/stand.js'
import { rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('the next password to try', async t => {
  const service = parseServiceName('employee')
  const acme = parseTenantId('acme')
  const refusal = Object.assign(new Error('refused'), { code: '28P01' })
  const make = (count: number) => {
    const secrets = Array.from({ length: count }, (_, n) => `k${n}:${`the-secret-of-key-${n}-`.repeat(3)}`)
    const credentials = createCredentials(service, parseRoleKeys(secrets.join()))
    const keptOut: string[] = []
    const logins = createLogins(service, credentials, id => keptOut.push(id))
    const keyOf = (password: string) =>
      credentials.keys.findIndex(key => credentials.password(parseTenantId('acme'), key) === password)
    const refused = (login: Login) => {
      login.lost(refusal)
      return logins.again(acme)
    }
    return { logins, keptOut, refused, keyOf, next: () => logins.of(acme) }
  }

  await t.test('with one key there is no other', async t => {
    const { keptOut, refused, next } = make(1)
    t.notOk(refused(next()))
    t.same(keptOut, ['acme'])
  })

  await t.test(
    'the round ends with the key it began with, as a role may be changed back between two attempts',
    async t => {
      const { keptOut, refused, next, keyOf } = make(2)
      const tried: number[] = []
      let more = true
      while (more) {
        const login = next()
        tried.push(keyOf(login.password))
        more = refused(login)
      }
      t.same(tried, [0, 1, 0])
      t.same(keptOut, ['acme'])
    },
  )

  await t.test('a late refusal is tried again with the key that another connection has found', async t => {
    const { keptOut, refused, next, keyOf } = make(2)
    const [late, first] = [next(), next()]
    t.ok(refused(first))
    const found = next()
    t.equal(keyOf(found.password), 1)
    found.accepted()
    t.ok(refused(late))
    t.equal(keyOf(next().password), 1)
    // And back: the role was changed to the current key meanwhile.
    const [again, other] = [next(), next()]
    t.ok(refused(other))
    next().accepted()
    t.ok(refused(again))
    t.equal(keyOf(next().password), 0)
    t.same(keptOut, [])
  })

  await t.test('a loss of another kind is not tried again', async t => {
    const { logins, refused, next } = make(2)
    t.ok(refused(next()))
    next().lost(Object.assign(new Error('gone'), { code: 'ECONNREFUSED' }))
    t.notOk(logins.again(acme))
  })
})

t.test('a new key', async t => {
  // Without their reconcilers, which would give every role the new key at once.
  const { tenancy: parts, look } = await rig(t, ['employee'])
  const server = look('employee')
  const central = look('employee', 'employee_central')
  const [k1, k2] = [roleSecret, `k2:${'another-secret-of-the-tests-'.repeat(2)}`]
  const [acme, globex] = [parseTenantId('acme'), parseTenantId('globex')]
  const ask = async (tenancy: Tenancy, statement = 'select 1') => {
    const scope = tenancy.pools.clientFor(acme)
    try {
      await scope.sql.unsafe(statement)
    } finally {
      scope.release()
    }
  }
  const served = (tenancy: Tenancy, statement?: string) => codeOf(ask(tenancy, statement))
  const cut = async (tenancy: Tenancy) => {
    await server`select pg_terminate_backend(pid) from pg_stat_activity where usename like 'tenant%'`
    await until('the cut is noticed', () => tenancy.pools.tenants.info().open === 0)
  }
  const verifiers = async () =>
    (await server`select rolname, rolpassword from pg_authid where rolname like 'tenant%' order by 1`).map(
      row => row.rolpassword,
    )
  const before = await parts('employee', { roleSecret: k1 })
  for (const id of [acme, globex]) {
    await central`insert into tenants (id, name) values (${id}, ${id})`
    await before.provisioner.provision(id)
  }
  const old = await verifiers()

  await t.test('that is current opens roles of the older one, without an error, ten at a time', async t => {
    const both = await parts('employee', { roleSecret: `${k2},${k1}`, maxConnectionsPerTenant: 10 })
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => served(both, 'select pg_sleep(0.02)')))
    t.same(outcomes, Array(10).fill('no error'))
    t.same(await verifiers(), old, 'no role was changed by a login')
  })

  await t.test('is given to a role at its next provisioning, and the fleet lists the roles without it', async t => {
    const both = await parts('employee', { roleSecret: `${k2},${k1}` })
    const findings = async () => (await both.inspectFleet()).tenants.map(tenant => tenant.findings)
    t.same(await findings(), [['role_key'], ['role_key']])
    t.match(await both.provisioner.provision(acme), { provisioned: 'ready' })
    await both.repairTenant(globex)
    t.same(await findings(), [[], []])
    const now = await verifiers()
    t.equal(new Set([...old, ...now]).size, 4)
  })

  await t.test('that is listed after the current one is found too', async t => {
    const behind = await parts('employee', { roleSecret: `${k1},${k2}` })
    t.equal(await served(behind), 'no error')
    await cut(behind)
    t.equal(await served(behind), 'no error')
  })

  await t.test('that a process lacks keeps it out, and the role is left unchanged', async t => {
    const now = await verifiers()
    await cut(before)
    const seen: PublishedStep[] = []
    t.teardown(subscribe(step => seen.push(step), undefined, ['role']))
    t.equal(await served(before), 'TENANT_DATABASE_UNAVAILABLE')
    const failed = await until('the failure is reported', () =>
      seen.find(step => step.area === 'role' && step.event.type === 'repair_failed'),
    )
    t.match(failed, {
      event: { id: 'acme', error: { code: 'TENANT_ROLE_KEY_UNKNOWN', message: /TENANT_ROLE_SECRET/ } },
    })
    t.same(await verifiers(), now)
  })

  await t.test('stands in no error', async t => {
    const error = await ask(before).catch((error: Error) => error)
    const seen = JSON.stringify(error, Object.getOwnPropertyNames(error)) + String((error as Error).cause)
    t.notMatch(seen, /secret-of-the-tests|[0-9a-f]{64}/)
  })
})
