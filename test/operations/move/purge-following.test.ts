// A tenant that is deleted while its old copy follows it: a service refuses its purge with the cure, and the command, which has the
// administrator's login, ends the following and drops both databases.
import t from 'tap'
import { endFollowing } from '../../../operations/move/end-following.js'
import { createPurger } from '../../../plugins/distributed-tenant/provisioning/purge.js'
import { onlineStand } from './online-stand.js'

t.test('a deleted tenant whose old copy follows', async t => {
  const stand = await onlineStand(t)
  const { app: build, look, instances, central, tenancy, how, acme, left, move } = stand
  const app = await build('employee', { instances })
  const purger = createPurger({
    service: tenancy.settings.service,
    instances: tenancy.instances,
    confirm: async () => true,
    report: () => {},
  })
  await app.tenants.create({ id: 'acme', name: 'Acme' })
  await app.tenants.run('acme', ({ sql }) => sql`insert into notes (body) values ('one')`)
  t.match(await move('b'), { state: 'moved', follows: true })
  await central`update tenants set lifecycle = 'deleted', purge_after = now() - interval '1 day' where id = 'acme'`

  await t.test('is not purged by its service, which names the cure', async t => {
    await t.rejects(purger.purge(acme), {
      code: 'TENANT_COPY_FOLLOWS',
      statusCode: 409,
      message: /`distributed-tenant purge acme --service employee` with INIT_SUPERUSER and INIT_PASSWORD/,
    })
    t.equal((await look('b')`select from pg_database where datname = 'tenant_acme_employee'`).length, 1)
    t.not((await left()).length, 0, 'its slots are there')
  })

  await t.test('is purged once the administrator has ended the following, and nothing is left', async t => {
    await endFollowing(tenancy.move, acme, how)
    t.same(await left(), [])
    await endFollowing(tenancy.move, acme, how)
    t.match(await purger.purge(acme), { provisioned: 'removed' })
    for (const at of ['employee', 'b']) {
      t.same(
        await look(
          at,
        )`select datname from pg_database where datname ~ 'acme' union all select rolname from pg_roles where rolname ~ 'acme'`,
        [],
      )
    }
  })
})
