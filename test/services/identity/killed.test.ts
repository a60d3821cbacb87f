import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../../../stack/servers/ports.js'
import { inheritedEnvironment } from '../../../stack/service-environment.js'
import { type Rig, rig, until } from '../../rig.js'
import { adminToken, asAdmin } from '../rig.js'

const main = fileURLToPath(new URL('../../../services/identity/main.js', import.meta.url))

/** Ends the process with SIGKILL at a step of a change, as a power cut would. */
const dieAt = (type: string): string =>
  `data:text/javascript,${encodeURIComponent(`
    import { subscribe } from 'node:diagnostics_channel'
    subscribe('distributed-tenant:change', ({ event }) => {
      if (event.type === '${type}') process.kill(process.pid, 'SIGKILL')
    })`)}`

async function identity(t: Test, { database, servers }: Rig, port: number, fault?: string) {
  const { host, port: databasePort, user, password } = database('identity')
  const child = spawn(process.execPath, [...(fault ? ['--import', dieAt(fault)] : []), main], {
    env: {
      ...inheritedEnvironment(process.env),
      DOCKER_ENABLED: 'false',
      DB_HOST: host,
      DB_PORT: String(databasePort),
      DB_USERNAME: user,
      DB_PASSWORD: password ?? '',
      NATS_URL: servers.nats.url,
      REDIS_URL: servers.redis.url,
      ADMIN_TOKEN: adminToken,
      PORT: String(port),
    },
    stdio: 'ignore',
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await until('identity answers', 60_000, () =>
    fetch(`http://127.0.0.1:${port}/api/health/live`, { headers: { connection: 'close' } }).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return {
    ended,
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

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
      const doomed = await identity(t, made, port, step)
      await t.rejects(create(step))
      t.match(await doomed.ended, [null, 'SIGKILL'])
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
