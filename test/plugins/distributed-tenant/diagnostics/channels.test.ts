// In a process of its own: it listens to warnings and errors of the process.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createStepPublisher, parseServiceName, subscribe } from '../../../../plugins/distributed-tenant/index.js'

t.test('a listener that throws is reported, and neither ends the process nor keeps a step from others', async t => {
  const uncaught: unknown[] = []
  const onUncaught = (error: unknown) => void uncaught.push(error)
  const warnings: string[] = []
  const onWarning = ({ message }: Error) => void warnings.push(message)
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  process.on('warning', onWarning)
  const origin = {}
  const seen: unknown[] = []
  const thrown = new Error('thrown by a listener')
  const stops = [
    subscribe(() => {
      throw thrown
    }, origin),
    subscribe(async () => {
      throw new Error('rejected by a listener')
    }, origin),
    subscribe(step => seen.push(step.event), origin),
  ]
  t.teardown(() => {
    for (const stop of stops) stop()
    process.off('uncaughtException', onUncaught)
    process.off('unhandledRejection', onUncaught)
    process.off('warning', onWarning)
  })
  const publish = createStepPublisher(parseServiceName('employee'), origin)
  publish({ area: 'first_user', event: { type: 'made', id: 'acme' } as never })
  while (warnings.length + uncaught.length < 2) await sleep(1)
  t.same(warnings.sort(), ['rejected by a listener', 'thrown by a listener'])
  t.equal(seen.length, 1)
  t.same(uncaught, [])
})
