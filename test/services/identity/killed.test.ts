// Identity killed during a creation, and while it makes a first user: the next process completes it, once.
import t from 'tap'
import { rig } from '../../rig.js'
import { until } from '../../until.js'
import { asAdmin } from '../rig.js'
import { killableIdentity } from './process.js'

t.test('a creation whose process is killed', async t => {
  const made = await rig(t, ['identity'])
  const central = made.look('identity', 'identity_central')
  const identity = await killableIdentity(t, made)
  const { port } = identity
  let running = await identity.start()
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
      identity.arm(`change.${step}`)
      await t.rejects(create(step))
      t.match(await running.ended, { code: null, signal: 'SIGKILL' })
      const keys = await central<{ id: string }[]>`select tenant_id as id from idempotency_keys where key = ${step}`
      t.equal(keys.length, left, 'the key is stored or not')

      running = await identity.start()
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
    })
  }
  await running.stop()
})

t.test('the making of a first user whose process is killed', async t => {
  const made = await rig(t, ['identity'])
  const central = made.look('identity', 'identity_central')
  const identity = await killableIdentity(t, made, { REQUIRED_SERVICES: 'identity' })
  const { port } = identity
  let running = await identity.start()
  const ada = { email: 'ada@example.com', password: 'correct horse battery' }
  const post = (path: string, body: object, headers: Record<string, string>) =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(body),
    })

  for (const step of ['remembered', 'due', 'made', 'forgotten']) {
    await t.test(`at ${step} is completed by the next, once`, async t => {
      const id = `killed-${step}`
      const create = () =>
        post('/api/tenants', { id, name: id, admin: ada }, { ...asAdmin, 'idempotency-key': id }).catch(() => null)
      identity.arm(`first_user.${step}`)
      const first = await create()
      if (step === 'remembered') t.equal(first, null, 'no client was answered')
      t.match(await running.ended, { code: null, signal: 'SIGKILL' })

      running = await identity.start()
      t.equal((await create())?.status, 202, 'a repeat is answered as the first')
      const login = (password: string) => post('/api/login', { ...ada, password }, { 'hrms-client-id': id })
      await until(
        'none waits',
        async () => (await central`select 1 from first_users where tenant_id = ${id}`).length === 0,
      )
      t.equal((await login(ada.password)).status, 200, 'she may sign in')
      t.equal((await login('not her password')).status, 401)
      const own = made.look('identity', `tenant_${id}_identity`)
      const [count] = await own`
        select (select count(*)::int from users) as users, (select count(*)::int from credentials) as credentials`
      t.same(count, { users: 1, credentials: 1 })
    })
  }
  await running.stop()
})
