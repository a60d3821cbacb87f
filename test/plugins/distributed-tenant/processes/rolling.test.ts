// Several processes of one service on a server with few connections: restarted one after the other under load, and killed. No request
// fails, and the connections of all together never exceed what the server allows.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { DistributedTenantOptions } from '../../../../plugins/distributed-tenant/index.js'
import { notes, rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

const program = fileURLToPath(new URL('replica.js', import.meta.url))
/** 77 for the service, as 3 are a superuser's. Two processes have 17 for tenants each, three have 6. */
const MAX_CONNECTIONS = 80
const LIMIT = MAX_CONNECTIONS - 3
const TENANTS = Array.from({ length: 12 }, (_, n) => `tenant${n}`)

interface Replica {
  readonly child: ChildProcess
  readonly port: number
}

t.test('processes share the connections of their server', async t => {
  const { app: build, database, look } = await rig(t, ['core'], { max_connections: MAX_CONNECTIONS })
  const first = await build('core')
  for (const id of TENANTS) await first.tenants.create({ id, name: id })
  await first.close()
  const central = look('core', 'core_central')
  t.same([...(await central`select 1 from service_processes`)], [], 'a process that ends gives its share back')

  const options: DistributedTenantOptions = {
    service: 'core',
    database: database('core'),
    migrations: { tenant: notes },
    nats: null,
    redis: null,
    source: false,
    roleSecret,
    spares: 0,
    acquireTimeout: 60_000,
  }
  const all = new Set<ChildProcess>()
  let stop = false
  t.teardown(() => {
    stop = true
    for (const child of all) child.kill('SIGKILL')
  })
  const start = async (): Promise<Replica> => {
    const child = fork(program, [], {
      env: { ...process.env, REPLICA_OPTIONS: JSON.stringify(options) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    all.add(child)
    const [port] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`a process ended with ${code} at its start`))),
    ])) as [number]
    return { child, port }
  }
  const gone = async ({ child }: Replica, signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    all.delete(child)
  }

  const serving: Replica[] = [await start(), await start()]
  const failed: string[] = []
  const served = new Map<number, number>()
  let turn = 0
  /** What a load balancer does: the next process that is in rotation. */
  const client = async (): Promise<void> => {
    while (!stop) {
      const { port } = serving[turn++ % serving.length] as Replica
      const id = TENANTS[turn % TENANTS.length] as string
      try {
        const response = await fetch(`http://127.0.0.1:${port}/notes`, { headers: { 'HRMS-Client-ID': id } })
        const body = await response.text()
        if (response.status === 200) served.set(port, (served.get(port) ?? 0) + 1)
        else failed.push(`${response.status} ${body}`)
      } catch (error) {
        failed.push(String((error as Error).cause ?? error))
      }
      await sleep(10)
    }
  }
  const seen = { open: 0, granted: 0, samples: 0 }
  const observer = look('core')
  const watch = async (): Promise<void> => {
    while (!stop) {
      const [row] = await observer<{ open: number }[]>`
        select count(*)::int as open from pg_stat_activity where usename ~ 'core' and backend_type = 'client backend'`
      const [sum] = await central<{ granted: number }[]>`
        select coalesce(sum(granted), 0)::int as granted from service_processes`
      seen.open = Math.max(seen.open, row?.open ?? 0)
      seen.granted = Math.max(seen.granted, sum?.granted ?? 0)
      seen.samples++
      await sleep(20)
    }
  }
  const load = Promise.all([watch(), ...Array.from({ length: 6 }, client)])
  const isServed = ({ port }: Replica) => until(`requests through ${port}`, () => (served.get(port) ?? 0) > 20)
  const shares = async () => {
    const rows = await central<{ granted: number }[]>`select granted from service_processes`
    return rows.map(({ granted }) => granted)
  }
  for (const replica of serving) await isServed(replica)
  await until('two share it', async () => (await shares()).join() === '31,31')

  for (const old of [...serving]) {
    // A rollout: one more first, then the old one leaves the rotation and ends.
    const fresh = await start()
    serving.push(fresh)
    await isServed(fresh)
    await until('three share it', async () => (await shares()).join() === '20,20,20')
    serving.splice(serving.indexOf(old), 1)
    await gone(old, 'SIGTERM')
    await until('two share it again', async () => (await shares()).join() === '31,31')
  }
  t.same(failed, [], 'no request has failed')

  const victim = serving.pop() as Replica
  await until('nothing is under way in it', async () => {
    const before = served.get(victim.port)
    await sleep(200)
    return before === served.get(victim.port)
  })
  await gone(victim, 'SIGKILL')
  const fresh = await start()
  serving.push(fresh)
  await isServed(fresh)
  await until('the share of the killed one is given to others', async () => (await shares()).join() === '31,31')
  stop = true
  await load
  t.same(failed, [], 'and none through a crash of a process that had none')
  t.ok(seen.samples > 20, `looked ${seen.samples} times`)
  t.ok(seen.open <= LIMIT, `at most ${seen.open} of ${LIMIT} connections were open`)
  t.ok(seen.granted <= LIMIT, `at most ${seen.granted} of ${LIMIT} were granted`)
  for (const replica of serving) await gone(replica, 'SIGTERM')
  t.same(await shares(), [])
})
