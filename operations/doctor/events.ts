// The checks of what waits in the central database for the path of events: the outbox and dead events; and of spares.
import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import type { OpenService } from '../open-services.js'
import { PATIENCE_MS } from '../open-tenancy.js'
import { note, type Problem, problem } from './problem.js'
import { sparesAreMade } from './under-way.js'

const LONG_WAIT_SECONDS = 60

export async function stores({ name, tenancy }: OpenService): Promise<Problem[]> {
  const { stored } = await tenancy.figures(PATIENCE_MS)
  if (!stored) throw new Error('the central database does not answer in time')
  const { outbox, outboxRefused, deadEvents, spares } = stored
  const found: Problem[] = []
  if (outbox.oldestSeconds > LONG_WAIT_SECONDS) {
    found.push(
      problem(
        'events wait',
        `${outbox.waiting} in the outbox`,
        `the oldest for ${Math.round(outbox.oldestSeconds)} s: is NATS up, is ${name} running?`,
      ),
    )
  }
  if (outboxRefused > 0)
    found.push(
      problem(
        'events refused',
        `${outboxRefused} in the outbox`,
        'the stream refuses them permanently: see outbox.last_error',
      ),
    )
  if (deadEvents > 0) found.push(problem('dead events', String(deadEvents), `\`dead list --service ${name}\``))
  // Of an instance that is marked full none are kept.
  const wanted = stored.fullInstances.includes(DEFAULT_INSTANCE) ? 0 : tenancy.settings.spares
  if (spares < wanted) {
    const about = `${spares} of ${wanted}`
    found.push(
      (await sparesAreMade(tenancy.fleet.central))
        ? note('spares are being made', about, `${name} makes them by itself, one after the other`)
        : problem('spares missing', about, `${name} makes them by itself: is it running, has its instance room?`),
    )
  }
  return found
}
