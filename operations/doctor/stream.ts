// The checks of NATS: its servers, the stream with its copies and settings, and the service's consumer.
// If NATS is down: it throws, and `doctor` reports that it cannot be asked.
import {
  ACK_WAIT_MS,
  askServers,
  connectEvents,
  EventsUnavailable,
  inspectStream,
  LIFECYCLE_FILTER,
  type NatsServerFacts,
  readConsumerLag,
  STREAM,
  type StreamInspection,
  tenantsDurable,
} from '../../events/index.js'
import { readAuthorities } from '../../plugins/distributed-tenant/config/ca-certificates.js'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import type { OpenService } from '../open-services.js'
import { PATIENCE_MS } from '../open-tenancy.js'
import { note, type Problem, problem } from './problem.js'

/** A busy machine takes seconds to connect; a server that is down refuses at once. */
const NATS_PATIENCE_MS = PATIENCE_MS
/** A copy this far behind is not one that is about to be made. */
const FAR_BEHIND = 1_000
const OLDEST = [2, 9] as const
const PAGE = 'docs/clusters.md'

export async function stream({ name, target, tenancy }: OpenService): Promise<Problem[]> {
  if (!target.nats) return []
  const { streamReplicas: replicas, streamManaged: managed } = tenancy.settings
  const ca = readAuthorities('NATS_CA_FILE', readEnvironment().NATS_CA_FILE, target.nats)
  const connection = connectEvents({ url: target.nats, ca, name })
  try {
    if (!(await connection.ready(NATS_PATIENCE_MS))) {
      const reason = connection.lastError() ?? `no connection within ${NATS_PATIENCE_MS / 1000} s`
      throw new Error(`NATS does not answer: ${reason}`)
    }
    const found: Problem[] = []
    if (!connection.secured()) found.push(problem('NATS needs no credentials', name, 'give it users: deploy/nats.conf'))
    const servers = await askServers(target.nats, { ca, name, timeoutMs: NATS_PATIENCE_MS })
    found.push(...serverProblems(servers))
    const clustered = servers.some(({ cluster }) => cluster !== null)
    const durable = { durable: tenantsDurable(name), filter: LIFECYCLE_FILTER, ackWaitMs: ACK_WAIT_MS }
    try {
      const seen = await inspectStream(connection, { replicas, durable, timeoutMs: NATS_PATIENCE_MS })
      found.push(...streamProblems(name, seen, managed, clustered))
      if (clustered && seen?.replicas === 1 && replicas === undefined)
        found.push(
          problem(
            'stream has one copy',
            STREAM,
            `NATS_STREAM_REPLICAS=3, or =1 if it may be away with its server: ${PAGE}`,
          ),
        )
    } catch (error) {
      if (!(error instanceof EventsUnavailable)) throw error
      found.push(problem('stream does not answer', STREAM, silentCure(error.message, clustered)))
      return found
    }
    const lag = await readConsumerLag(connection, durable.durable, NATS_PATIENCE_MS)
    if (lag && lag.pending > 0) {
      const about = String(lag.pending)
      found.push(
        lag.awaited
          ? note('events are being taken', about, `${name} takes them now`)
          : problem('events not taken', about, `is ${name} running?`),
      )
    }
    return found
  } finally {
    await connection.close(500)
  }
}

const silentCure = (reason: string, clustered: boolean): string =>
  clustered
    ? `${reason}: its servers are down or have no leader. Start them; one that is gone for good is removed with \`nats-remove <server>\`: ${PAGE}`
    : `${reason}: is JetStream on, may this user ask for it (deploy/nats.conf)?`

function serverProblems(servers: readonly NatsServerFacts[]): Problem[] {
  const found: Problem[] = []
  for (const { address, error } of servers)
    if (error !== null)
      found.push(problem('NATS server does not answer', address, `${error}: the others serve meanwhile`))
  const up = servers.filter(({ version }) => version !== null)
  for (const { address, version } of up) {
    const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
    if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
      found.push(problem('NATS server too old', `${address} is ${version}`, `use ${OLDEST.join('.')} or later`))
  }
  const distinct = (values: (string | null)[]) => [...new Set(values)]
  const releases = distinct(up.map(({ version }) => (version ?? '').split('.').slice(0, 2).join('.')))
  if (releases.length > 1)
    found.push(problem('NATS servers of several releases', releases.join(', '), `finish the upgrade: ${PAGE}`))
  const clusters = distinct(up.map(({ cluster }) => cluster))
  if (clusters.length > 1) {
    const names = clusters.map(cluster => cluster ?? 'none').join(', ')
    found.push(problem('NATS_URL leads to several clusters', names, 'name the servers of one cluster'))
  }
  return found
}

function streamProblems(
  name: string,
  seen: StreamInspection | null,
  managed: 'here' | 'elsewhere',
  clustered: boolean,
): Problem[] {
  const maker = managed === 'here' ? 'identity makes it: is it running?' : `what manages NATS makes it: ${PAGE}`
  if (!seen) return [problem('stream missing', STREAM, maker)]
  const found: Problem[] = []
  const differs = (about: string, differences: readonly string[]) => {
    const by = managed === 'here' ? 'identity changes it, where the server allows it' : 'NATS_STREAM_MANAGED=elsewhere'
    for (const difference of differences) found.push(problem('NATS setting', about, `${difference} (${by}): ${PAGE}`))
  }
  differs(STREAM, seen.differences)
  if (seen.consumer) differs(tenantsDurable(name), seen.consumer)
  else
    found.push(
      problem(
        'consumer missing',
        tenantsDurable(name),
        managed === 'here' ? `${name} makes it: is it running?` : maker,
      ),
    )
  if (clustered && seen.leader === null)
    found.push(problem('stream without leader', STREAM, `more than half of its servers must run: ${PAGE}`))
  for (const { server, offline, behind } of seen.lagging) {
    if (offline) found.push(problem('copy of the stream offline', server, `start that server, or replace it: ${PAGE}`))
    else if (behind > FAR_BEHIND)
      found.push(problem('copy of the stream behind', server, `by ${behind} messages: is its disk or network slow?`))
  }
  if (seen.lostBytes > 0)
    found.push(
      problem(
        'stream has lost bytes',
        String(seen.lostBytes),
        `a disk or a file is damaged; the services publish again what is missing: ${PAGE}`,
      ),
    )
  return found
}
