// Rotation of secrets by the steps of docs/configuration.md while clients send requests without a pause, over
// sockets and to several replicas: every answer is counted, and each must be the one that was asked for.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import { until } from '../until.js'
import { adminToken, as, serviceRig } from './rig.js'

const CLIENTS = 4
const cheap = { ln: 4, r: 8, p: 1 }

/** Replicas behind a load balancer: a new one is listed when it listens, a leaving one gets no more requests. */
interface Replicas {
  /** Sends a request to one of the listed replicas, in turns. */
  ask(path: string, init?: RequestInit): Promise<Response>
  add(app: FastifyInstance): Promise<string>
  /** Takes one out, waits for its pending requests, closes it. */
  remove(url: string): Promise<void>
}

function replicas(): Replicas {
  const listed = new Map<string, { app: FastifyInstance; pending: number }>()
  let turn = 0
  return {
    async ask(path, init) {
      const all = [...listed]
      const [url, one] = all[turn++ % all.length] as (typeof all)[number]
      one.pending++
      try {
        return await fetch(`${url}${path}`, init)
      } finally {
        one.pending--
      }
    },
    async add(app) {
      const url = await app.listen({ port: 0, host: '127.0.0.1' })
      listed.set(url, { app, pending: 0 })
      return url
    },
    async remove(url) {
      const one = listed.get(url)
      listed.delete(url)
      await until('its requests are answered', () => one?.pending === 0 && one.app.inFlight() === 0)
      await one?.app.close()
    },
  }
}

/** Clients that never pause. Answers are counted by status and code. */
function startLoad(ask: (client: number) => Promise<Response>) {
  const answers: Record<string, number> = {}
  let over = false
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    while (!over) {
      const answer = await ask(client).then(async response => {
        const { code } = ((await response.json().catch(() => null)) ?? {}) as { code?: string }
        return code ? `${response.status} ${code}` : String(response.status)
      }, String)
      answers[answer] = (answers[answer] ?? 0) + 1
    }
  })
  return {
    /** Waits for so many more answers. */
    async more(count: number) {
      const all = () => Object.values(answers).reduce((sum, one) => sum + one, 0)
      const before = all()
      await until(`${count} more answers`, () => all() >= before + count)
    },
    async stop() {
      over = true
      await Promise.all(clients)
      return answers
    },
  }
}

t.test('secrets are changed under load, and no request fails', async t => {
  const { service, look } = await serviceRig(t, ['identity', 'employee'])
  const tenants = Array.from({ length: CLIENTS }, (_, n) => `tenant-${n}`)
  const seen = (answers: Record<string, number>) => {
    const count = Object.values(answers).reduce((sum, one) => sum + one, 0)
    t.comment(`${count} requests: ${JSON.stringify(answers)}`)
    return Object.keys(answers)
  }

  await t.test('the secret of tenants’ roles', async t => {
    const [k1, k2] = ['k1', 'k2'].map(id => `${id}:${`the-secret-of-${id}-in-the-tests-`.repeat(2)}`) as [
      string,
      string,
    ]
    const central = look('employee', 'employee_central')
    const all = replicas()
    // Every request is a login of its own, by the password that its process has.
    const start = async (roleSecret: string) =>
      all.add(await service('employee', { roleSecret, pooling: false, reconcileInterval: 100 }))
    const [first] = [await service('employee', { roleSecret: k1 })]
    for (const id of tenants) await first.tenants.create({ id, name: id })
    await first.close()
    let running = [await start(k1), await start(k1)]
    const load = startLoad(client =>
      all.ask('/api/employees', { headers: { 'hrms-client-id': tenants[client] as string } }),
    )
    const roll = async (roleSecret: string) => {
      const next: string[] = []
      for (const old of running) {
        next.push(await start(roleSecret))
        await load.more(20)
        await all.remove(old)
      }
      running = next
      await load.more(20)
    }
    const keys = async () => [
      ...new Set((await central`select role_key from tenants`).map(({ role_key: key }) => String(key).split('.')[0])),
    ]
    t.same(await keys(), ['k1'])
    await roll(`${k1},${k2}`)
    t.same(await keys(), ['k1'], 'the new key, listed after the old one, opens nothing yet')
    await roll(`${k2},${k1}`)
    await until('every role has the new key', async () => (await keys()).join() === 'k2')
    await roll(k2)
    t.same(seen(await load.stop()), ['200'])
    for (const url of running) await all.remove(url)
  })

  await t.test('the operator’s token', async t => {
    const folder = mkdtempSync(join(tmpdir(), 'rotation-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'token')
    const next = 'the-next-token-of-the-tests'
    writeFileSync(file, adminToken)
    const all = replicas()
    const urls: string[] = []
    for (let n = 0; n < 2; n++) {
      const options = { adminTokenFile: file, adminTokenLook: 100, requiredServices: ['identity'] }
      urls.push(await all.add(await service('identity', {}, options)))
    }
    const held = Array<string>(CLIENTS).fill(adminToken)
    const change = (body: object) => ({
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const by = (token: string, init: { headers?: object } = {}) => ({
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${token}` },
    })
    const made = await fetch(`${urls[0]}/api/tenants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'kept', name: 'Kept' }),
    })
    t.equal(made.status, 202)
    let asked = 0
    const load = startLoad(client => {
      const token = held[client] as string
      if (++asked % 10 > 0) return all.ask('/api/tenants', by(token))
      return all.ask('/api/tenants/kept', by(token, change({ name: `Kept ${asked}` })))
    })
    const everywhere = async (token: string, status: number) => {
      const seen = await Promise.all(urls.map(url => fetch(`${url}/api/tenants`, by(token))))
      return seen.every(answer => answer.status === status)
    }
    await load.more(100)
    t.ok(await everywhere(next, 401))
    writeFileSync(file, `${next},${adminToken}`)
    await until('either passes', () => everywhere(next, 200))
    for (let client = 0; client < CLIENTS; client++) {
      await load.more(25)
      held[client] = next
    }
    await load.more(100)
    writeFileSync(file, next)
    await until('the old one is refused', () => everywhere(adminToken, 401))
    await load.more(100)
    t.same(seen(await load.stop()), ['200'])
    for (const url of urls) await all.remove(url)
  })

  await t.test('the keys that sign tokens', async t => {
    const central = look('identity', 'identity_central')
    const all = replicas()
    const identities: FastifyInstance[] = []
    const addresses: string[] = []
    for (let n = 0; n < 2; n++) {
      const app = await service('identity', { source: false }, { passwordCost: cheap, signingKeyLook: 100 })
      identities.push(app)
      addresses.push(await all.add(app))
    }
    const [first] = identities as [FastifyInstance]
    const environment = readEnvironment({ TOKEN_KEYS_URL: `${addresses[0]}/.well-known/jwks.json` })
    const employee = await service('employee', { reconcileInterval: 60_000 }, { environment })
    const employees = await employee.listen({ port: 0, host: '127.0.0.1' })
    const readKeys = performance.now()
    const users = ['ada', 'bo'].map(name => ({ email: `${name}@example.com`, password: `the password of ${name}` }))
    for (const id of tenants) {
      await first.tenants.create({ id: `signed-${id}`, name: id })
      await employee.tenants.create({ id: `signed-${id}`, name: id })
      for (const user of users) {
        const made = await as(first, `signed-${id}`)('POST', '/api/users', { ...user, displayName: 'A User' })
        t.equal(made.statusCode, 201)
      }
    }

    /** An application that signs in again now and then, and gets its tokens from either replica. */
    const held = tenants.map(() => ({ token: '', until: 0, logins: 0 }))
    const kidOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid
    const load = startLoad(async client => {
      const mine = held[client] as (typeof held)[number]
      const tenant = `signed-${tenants[client]}`
      if (performance.now() > mine.until) {
        const answer = await all.ask('/api/login', {
          method: 'POST',
          headers: { 'hrms-client-id': tenant, 'content-type': 'application/json' },
          body: JSON.stringify(users[mine.logins++ % users.length]),
        })
        const body = (await answer.clone().json()) as { token?: string }
        if (body.token) mine.token = body.token
        mine.until = performance.now() + 1_500
        return answer
      }
      const headers = { authorization: `Bearer ${mine.token}` }
      return Math.random() < 0.5 ? fetch(`${employees}/api/employees`, { headers }) : all.ask('/api/users', { headers })
    })
    const published = async () =>
      Promise.all(
        identities.map(
          async app => ((await app.inject('/.well-known/jwks.json')).json() as { keys: object[] }).keys.length,
        ),
      )
    const signedBy = () => [...new Set(held.map(({ token }) => kidOf(token)))]
    await load.more(100)
    await until('every client has a token', () => held.every(({ token }) => token !== ''))
    const [old] = signedBy()

    await central`update signing_keys set signs_from = signs_from - interval '31 days'`
    await until('two keys are published', async () => (await published()).join() === '2,2')
    await load.more(100)
    t.same(signedBy(), [old], 'the new one does not sign yet')
    // Its ten minutes are over. An unknown key is asked for once in ten seconds, which is short against ten
    // minutes.
    await until('the key set may be asked again', () => performance.now() - readKeys > 10_500)
    await central`update signing_keys set signs_from = clock_timestamp() where retires_at is null`
    await until('every client has a token of the new key', () => !signedBy().includes(old))
    await load.more(100)
    t.equal(signedBy().length, 1)

    // The last token of the old key has expired.
    await central`update signing_keys set retires_at = clock_timestamp() - interval '1 second' where retires_at is not null`
    await until('one key is published', async () => (await published()).join() === '1,1')
    await load.more(100)
    t.same(seen(await load.stop()), ['200'])
  })
})
