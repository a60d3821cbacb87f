// The checks of the path of events: the outbox, dead events, the stream and its consumer; and of spares.
import { connectEvents, readConsumerLag, readStreamState, tenantsDurable } from '../../events/index.js'
import { readAuthorities } from '../../plugins/distributed-tenant/config/ca-certificates.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import type { OpenService } from '../open-services.js'
import { PATIENCE_MS } from '../open-tenancy.js'
import { type Problem, problem } from './problem.js'

const LONG_WAIT_SECONDS = 60
/** A busy machine takes seconds to connect; a server that is down refuses at once. */
const NATS_PATIENCE_MS = PATIENCE_MS

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
  const wanted = tenancy.settings.spares
  if (spares < wanted)
    found.push(
      problem(
        'spares missing',
        `${spares} of ${wanted}`,
        `${name} makes them by itself: is it running, has its instance room?`,
      ),
    )
  return found
}

export async function stream({ name, target }: OpenService): Promise<Problem[]> {
  if (!target.nats) return []
  const ca = readAuthorities('NATS_CA_FILE', readEnvironment().NATS_CA_FILE, target.nats)
  const connection = connectEvents({ url: target.nats, ca, name })
  try {
    if (!(await connection.ready(NATS_PATIENCE_MS))) {
      const reason = connection.lastError() ?? `no connection within ${NATS_PATIENCE_MS / 1000} s`
      throw new Error(`NATS does not answer: ${reason}`)
    }
    const found: Problem[] = []
    const lag = await readConsumerLag(connection, tenantsDurable(name))
    if (!(await streamThere(connection)))
      found.push(problem('stream missing', 'TENANTS', 'identity makes it: is it running?'))
    else if (!lag) found.push(problem('consumer missing', tenantsDurable(name), `${name} makes it: is it running?`))
    else if (lag.pending > 0) found.push(problem('events not taken', String(lag.pending), `is ${name} running?`))
    if (!connection.secured()) found.push(problem('NATS needs no credentials', name, 'give it users: deploy/nats.conf'))
    return found
  } finally {
    await connection.close(500)
  }
}

/** A service's own user may ask of its consumer only; then the stream is as good as there. */
async function streamThere(connection: ReturnType<typeof connectEvents>): Promise<boolean> {
  try {
    return (await readStreamState(connection)) !== null
  } catch {
    return true
  }
}
