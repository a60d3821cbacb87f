import t from 'tap'
import { freePort } from '../../../stack/servers/ports.js'
import { rig, until } from '../../rig.js'
import { asAdmin } from '../rig.js'
import { identity } from './process.js'

t.test('a creation whose process is killed', async t => {
  const made = await rig(t, ['identity'])
  const central = made.look('identity', 'identity_central')
  const port = await freePort()
  const create = (key: string) =>
    fetch(`http://127.0.0.1:${port}/api/tenants`, {
      method: 'POST',
      headers: { ...asAdmin, 'content-type': 'application/json', 'idempotency-key': key, connection: 'close' },
      body: JSON.stringify({ name: 'Acme' }),
    })

  for (const [step, left] of [
    ['written', 0],
    ['accepted', 1],
  ] as const) {
    await t.test(`${step === 'written' ? 'before' : 'after'} the commit is made once by a repeat`, async t => {
      const doomed = await identity(t, made, port, `change.${step}`)
      await t.rejects(create(step))
      t.match(await doomed.ended, { code: null, signal: 'SIGKILL' })
      const keys = await central<{ id: string }[]>`select tenant_id as id from idempotency_keys where key = ${step}`
      t.equal(keys.length, left, 'the key is there or not')

      const next = await identity(t, made, port)
      const answer = await create(step)
      t.equal(answer.status, 202)
      const { id } = (await answer.json()) as { id: string }
      if (left) t.equal(id, keys[0]?.id, 'the tenant of the first request')
      const again = (await (await create(step)).json()) as { id: string }
      t.equal(again.id, id)
      const [count] = await central`
        select (select count(*)::int from idempotency_keys where key = ${step}) as keys,
          (select count(*)::int from outbox where tenant_id = ${id} and subject = 'tenant.created') as events,
          (select count(*)::int from tenants) as tenants`
      t.same(count, { keys: 1, events: 1, tenants: left + 1 })
      await next.stop()
    })
  }
})

t.test('the making of a first user whose process is killed', async t => {
  const made = await rig(t, ['identity'])
  const central = made.look('identity', 'identity_central')
  const port = await freePort()
  const ada = { email: 'ada@example.com', password: 'correct horse battery' }
  const post = (path: string, body: object, headers: Record<string, string>) =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(body),
    })

  for (const step of ['remembered', 'due', 'made', 'forgotten']) {
    await t.test(`at ${step} is done by the next, once`, async t => {
      const id = `killed-${step}`
      const create = () =>
        post('/api/tenants', { id, name: id, admin: ada }, { ...asAdmin, 'idempotency-key': id }).catch(() => null)
      const env = { REQUIRED_SERVICES: 'identity' }
      const doomed = await identity(t, made, port, `first_user.${step}`, env)
      const first = await create()
      if (step === 'remembered') t.equal(first, null, 'nobody was answered')
      t.match(await doomed.ended, { code: null, signal: 'SIGKILL' })

      const next = await identity(t, made, port, undefined, env)
      t.equal((await create())?.status, 202, 'a repeat is answered as the first')
      const login = (password: string) => post('/api/login', { ...ada, password }, { 'hrms-client-id': id })
      await until(
        'nobody waits',
        30_000,
        async () => (await central`select 1 from first_users where tenant_id = ${id}`).length === 0,
      )
      t.equal((await login(ada.password)).status, 200, 'she may sign in')
      t.equal((await login('not her password')).status, 401)
      const own = made.look('identity', `tenant_${id}_identity`)
      const [count] = await own`
        select (select count(*)::int from users) as users, (select count(*)::int from credentials) as credentials`
      t.same(count, { users: 1, credentials: 1 })
      await next.stop()
    })
  }
})
