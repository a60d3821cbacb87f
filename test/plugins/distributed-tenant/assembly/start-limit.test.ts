// A start that takes longer than Fastify's `pluginTimeout`: the plugin's own error comes first, with the step and
// the cure, also when a database does not close its connections.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import { limitStart } from '../../../../plugins/distributed-tenant/assembly/start-limit.js'
import { distributedTenant } from '../../../../plugins/distributed-tenant/index.js'
import { notes, rig, roleSecret } from '../../../rig.js'
import { until } from '../../../until.js'

const never = new Promise<void>(() => {})

t.test('a start that waits for a lock ends with the plugin’s error, and leaves no connection', async t => {
  const { database, look } = await rig(t, ['employee'])
  const central = look('employee', 'employee_central')
  const locked = await central.reserve()
  await locked`select pg_advisory_lock(hashtextextended('distributed_tenant.migrate', 0))`
  const app = Fastify({ pluginTimeout: 2_000 })
  app.register(distributedTenant, {
    service: 'employee',
    database: database('employee'),
    migrations: { tenant: notes },
    nats: null,
    redis: null,
    source: false,
    roleSecret,
    spares: 0,
  })
  await t.rejects(Promise.resolve(app.ready()), {
    code: 'START_TIMEOUT',
    message: /within 1\.8 s .*while the central database employee_central .*pluginTimeout: 60_000/,
  })
  await locked`select pg_advisory_unlock_all()`
  locked.release()
  await app.close().catch(() => {})
  const sessions = look('employee')
  await until('no session of the service is left', async () => {
    const [row] = await sessions`select count(*)::int as left from pg_stat_activity where usename = 'employee_service'`
    return row?.left === 0
  })
})

t.test('a failure is not delayed by parts that close slowly', async t => {
  const app = Fastify({ pluginTimeout: 1_000 })
  app.register(async scope =>
    limitStart(scope.initialConfig.pluginTimeout)({
      prepare: () => Promise.reject(new Error('the cause')),
      close: () => never,
    }),
  )
  await t.rejects(Promise.resolve(app.ready()), { message: 'the cause' })
})

t.test('a later step has the patience that the earlier ones have left', async t => {
  const asked: number[] = []
  await limitStart(60_000)({
    async prepare(progress) {
      asked.push(progress.patienceMs)
      await sleep(50)
      asked.push(progress.patienceMs)
    },
    close: () => never,
  })
  const [first = 0, second = 0] = asked
  t.ok(first <= 48_000 && second <= first - 40, asked.join())
})

t.test('without a limit of Fastify there is none here', async t => {
  let asked: number | undefined
  await limitStart(0)({
    async prepare({ patienceMs }) {
      asked = patienceMs
    },
    close: () => never,
  })
  t.equal(asked, Number.POSITIVE_INFINITY)
})
