// NATS is killed while tenants are made, restarts without its store, and every accepted tenant becomes ready in
// every service all the same: the outboxes hold the events that the stream has lost.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startStack } from '../../stack/stack.js'
import { converge } from './faulty-stack.js'
import { createOperator } from './operator.js'
import { auditor } from './stream-facts.js'

const TENANTS = 20

t.setTimeout(2_400_000)

t.test('a stream that is gone with its tenants pending', { timeout: 2_390_000 }, async t => {
  const stack = await startStack({ serviceEnv: { LOG_LEVEL: 'error' }, natsUsers: [auditor] })
  t.teardown(() => stack.stop())
  const { servers } = stack
  if (!servers) throw new Error('this test kills servers of its own')
  const operator = createOperator(stack)
  const create = (from: number, to: number) =>
    Promise.all(Array.from({ length: to - from }, (_, at) => operator.create(`pending-${from + at}`)))

  // Some are ready, some on their way, some only in the outbox.
  await create(0, 5)
  await converge(stack, 60_000, { inside: false })
  await create(5, 10)
  await servers.nats.kill()
  rmSync(join(servers.dir, 'nats', 'jetstream'), { recursive: true })
  await create(10, TENANTS)
  await servers.nats.restart()
  const began = performance.now()
  const check = await converge(stack, 60_000)
  t.equal(check.tenants, TENANTS)
  t.equal(check.databases, TENANTS * 3)
  t.same(check.duplicateEffects, [])
  t.comment(`${TENANTS} of ${TENANTS} right everywhere ${Math.round(performance.now() - began)} ms after its return`)
})
