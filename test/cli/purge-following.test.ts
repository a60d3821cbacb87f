// The command `purge` of a tenant whose old copy follows it since a move: without the administrator's login it says the line, with it it
// ends the following and drops every database, once identity confirms.
import t from 'tap'
import { admin, serviceRig } from '../services/rig.js'
import { moveStand } from './move-stand.js'

const token = 'a-token-of-the-services'

t.test('purge of a tenant whose old copy follows', async t => {
  const made = await serviceRig(t, ['identity'])
  const app = await made.service(
    'identity',
    { retention: 0, reconcileInterval: 600_000 },
    { serviceTokens: [token], requiredServices: ['identity'] },
  )
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const { host, port, user, password, database: name } = made.database('identity')
  const identity = { url, token, database: { host, port, user, password, name } }
  const stand = await moveStand(t, undefined, ['b'], identity)
  const { look, central, command } = stand
  const operator = admin(app)
  t.equal((await operator('POST', '/api/tenants', { id: 'acme', name: 'Acme' })).statusCode, 202)
  await stand.app.tenants.create({ id: 'acme', name: 'Acme' })
  const moved = await command(['move', 'acme', '--to', 'b', '--service', 'employee', '--yes', '--hold-limit', '20000'])
  t.equal(moved.code, 0, moved.out + moved.err)
  await central`update tenants set lifecycle = 'deleted', purge_after = now() - interval '1 day' where id = 'acme'`
  const purge = (more: Record<string, string> = {}) =>
    command(['purge', 'acme', '--service', 'employee', '--yes'], undefined, {}, more)
  const databases = async () =>
    (await Promise.all(['employee', 'b'].map(at => look(at)`select from pg_database where datname ~ 'acme'`))).flat()
      .length

  const early = await purge()
  t.equal(early.code, 1)
  t.match(early.out, /acme +This tenant’s database is kept/, 'not before identity says so')
  t.equal(await databases(), 2)
  t.equal((await operator('DELETE', '/api/tenants/acme')).statusCode, 204)
  t.match(
    (await command(['doctor', '--service', 'employee'])).out,
    /purge waits +acme .*`purge acme --service employee`/,
  )

  const without = await purge({ INIT_SUPERUSER: '', INIT_PASSWORD: '' })
  t.equal(without.code, 1)
  t.match(without.out, /`distributed-tenant purge acme --service employee` with INIT_SUPERUSER and INIT_PASSWORD/)
  t.equal(await databases(), 2)

  const { code, out, err } = await purge()
  t.equal(code, 0, out + err)
  t.match(out, /employee +acme +dropped/)
  t.equal(await databases(), 0)
  for (const at of ['employee', 'b']) {
    t.same(
      await look(at)`select slot_name::text from pg_replication_slots union all select subname from pg_subscription
        union all select rolname from pg_roles where rolname ~ 'acme|^fdt_move'`,
      [],
      at,
    )
  }
})
