// Tenants' roles behind a PgBouncer that has only their verifiers.
import t from 'tap'
import { startPooler } from '../../../../bench/pooler.js'
import {
  createCredentials,
  parseRoleKeys,
} from '../../../../plugins/distributed-tenant/credentials/role-credentials.js'
import { parseServiceName, parseTenantId } from '../../../../plugins/distributed-tenant/names.js'
import { codeOf } from '../../../postgres/stand.js'
import { rig, roleSecret } from '../../../rig.js'

t.test('a pooler that has the tenants’ lines, and no password', async t => {
  const { app: build, database, servers } = await rig(t, ['employee'])
  const app = await build('employee')
  for (const id of ['acme', 'globex', 'unlisted']) await app.tenants.create({ id, name: id })
  const credentials = createCredentials(parseServiceName('employee'), parseRoleKeys(roleSecret))
  const lines = ['acme', 'globex'].map(id => credentials.userListLine(parseTenantId(id)))
  const { host, port, user } = database('employee')
  const pooler = await startPooler({ host, port, user, password: '' }, servers.dir, 5, lines)
  if (!pooler) throw new Error('no pgbouncer on this machine: `npm run setup` installs it')
  t.teardown(() => pooler.stop())
  const through = await build('employee', { tenantDatabase: { host, port: pooler.login.port } })
  const me = (id: string) =>
    through.tenants.run(id, ({ sql }) =>
      sql.begin(async tx => {
        await tx`insert into notes (body) values (${id})`
        return tx`select current_user as me, current_database() as here, count(*)::int as notes from notes`
      }),
    )

  await t.test('serves each tenant as its own role, in its own database', async t => {
    for (const id of ['acme', 'globex']) {
      const name = `tenant_${id}_employee`
      t.same([...(await me(id))], [{ me: name, here: name, notes: 1 }])
    }
  })

  await t.test('refuses a role that is not in its list', async t => {
    t.equal(await codeOf(me('unlisted')), 'TENANT_DATABASE_UNAVAILABLE')
  })
})
