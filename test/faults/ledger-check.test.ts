// The ledger check must detect damage: every kind of damage is done by hand and must be named, and after the repair
// the check must be clean again.
import t from 'tap'
import { startStack } from '../../stack/stack.js'
import { converge } from './faulty-stack.js'
import { asSuperuser } from './instance-facts.js'
import { checkLedger } from './ledger-check.js'
import { createOperator } from './operator.js'
import { auditor } from './stream-facts.js'

/** In the central database of employee, whose tenant is `acme`. */
interface Damage {
  readonly done: string
  readonly undone: string
  readonly named: RegExp
}

const damages: readonly Damage[] = [
  {
    done: `alter database tenant_acme_employee rename to elsewhere`,
    undone: `alter database elsewhere rename to tenant_acme_employee`,
    named: /tenant_acme_employee is missing/,
  },
  {
    done: `create database tenant_unknown_employee owner employee_service`,
    undone: `drop database tenant_unknown_employee`,
    named: /tenant_unknown_employee belongs to no tenant/,
  },
  {
    done: `grant connect on database tenant_acme_employee to public`,
    undone: `revoke all on database tenant_acme_employee from public`,
    named: /tenant_acme_employee is open to PUBLIC/,
  },
  {
    done: `alter role tenant_acme_employee nologin`,
    undone: `alter role tenant_acme_employee login`,
    named: /the role tenant_acme_employee cannot log in/,
  },
  {
    done: `grant employee_service to tenant_acme_employee`,
    undone: `revoke employee_service from tenant_acme_employee`,
    named: /the role tenant_acme_employee is member of/,
  },
  {
    done: `alter role employee_tenant superuser`,
    undone: `alter role employee_tenant nosuperuser`,
    named: /the role employee_tenant is a superuser/,
  },
  {
    done: `update tenants set certificate = 'x' || certificate`,
    undone: `update tenants set certificate = substr(certificate, 2)`,
    named: /the mark of tenant_acme_employee is .* its registry row has acme, x/,
  },
  {
    done: `update tenants set name = 'Another'`,
    undone: `update tenants set name = 'acme'`,
    named: /employee has name Another of acme, identity acme/,
  },
  {
    done: `update tenants set schema_version = 0`,
    undone: `update tenants set schema_version = (select max(version) from templates)`,
    named: /the registry says tenant_acme_employee is at schema 0/,
  },
  {
    done: `insert into tenants (id, name) values ('unlisted', 'Unlisted')`,
    undone: `delete from tenants where id = 'unlisted'`,
    named: /employee has unlisted, which identity does not/,
  },
  {
    done: `update outbox set refused_at = now()`,
    undone: `update outbox set refused_at = null`,
    named: /employee set tenant.ready.employee:acme:\d+:[0-9a-f]+ aside/,
  },
  {
    done: `insert into dead_events (subject, reason, data) values ('tenant.created', 'for the test', '')`,
    undone: `delete from dead_events`,
    named: /employee has 1 dead letters, not 0: tenant.created: for the test/,
  },
]

t.setTimeout(2_400_000)

t.test('every damage is named, and nothing else', { timeout: 2_390_000 }, async t => {
  const stack = await startStack({ serviceEnv: { LOG_LEVEL: 'error' }, natsUsers: [auditor] })
  t.teardown(() => stack.stop())
  await createOperator(stack).create('acme')
  await converge(stack, 60_000)
  // No reconciler repairs the damage during the test.
  for (const name of ['employee', 'core'] as const) stack.services[name].freeze()
  for (const { done, undone, named } of damages) {
    await asSuperuser(stack, 'employee', sql => sql.unsafe(done))
    const { differences } = await checkLedger(stack)
    t.match(differences.join('\n'), named, done)
    await asSuperuser(stack, 'employee', sql => sql.unsafe(undone))
    t.same((await checkLedger(stack)).differences, [], undone)
  }
  for (const name of ['employee', 'core'] as const) stack.services[name].thaw()
  await stack.servers?.postgres.core.kill()
  t.match((await checkLedger(stack)).differences.join('\n'), /the instance of core cannot be asked/)
})
