// The removal of a NATS server that is gone for good, as an operator asks for it: checked before, and followed until the stream of the
// services has a leader again. Invariant: a server that answers, or has been away for less than 10 s, is never removed.
// If NATS is down, or more than half of the cluster: it throws, and nothing was changed.
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ClusterMember,
  connectEvents,
  type EventsConnection,
  EventsUnavailable,
  readClusterMembers,
  readStreamState,
  removeFromCluster,
  STREAM,
} from '../../events/index.js'
import { UsageError } from '../outcome.js'

const CONNECT_MS = 10_000
/** All servers that will answer have done so by then, also on a busy machine. */
const ANSWER_MS = 3_000
const REMOVE_MS = 10_000
/** A restart of a server is over by then. */
const RESTART_MS = 10_000
const STREAM_MS = 60_000
const AGAIN_MS = 500

export interface Place {
  readonly url: string
  readonly ca: string | undefined
  readonly name: string
}

export interface StreamPlace {
  readonly leader: string | null
  readonly messages: number
}

/** @throws Error when there is no connection in time */
export async function withNats<T>(
  { url, ca, name }: Place,
  work: (connection: EventsConnection) => Promise<T>,
): Promise<T> {
  const connection = connectEvents({ url, ca, name })
  try {
    if (!(await connection.ready(CONNECT_MS))) {
      const reason = connection.lastError() ?? `no connection within ${CONNECT_MS / 1000} s`
      throw new Error(`NATS does not answer ${name}: ${reason}`)
    }
    return await work(connection)
  } finally {
    await connection.close(500)
  }
}

export interface Removal {
  readonly members: readonly ClusterMember[]
  /** The one that may be removed. */
  readonly found: ClusterMember
}

/**
 * The members of its cluster, of which it may be removed. One that the cluster does not count as silent yet, or has not met yet, is asked
 * again 10 s later: it may be restarting.
 * @param server its name, or its peer id
 * @throws UsageError for a server that is not among them, or answers; Error without a leader
 */
export async function checkRemoval(connection: EventsConnection, server: string): Promise<Removal> {
  for (let asked = 1; ; asked++) {
    const { leader, members } = await readClusterMembers(connection, ANSWER_MS)
    if (leader === null) {
      throw new Error(
        'The cluster has no leader, so it can remove no server: start its others, more than half must run.',
      )
    }
    const found = members.find(({ name }) => name === server) ?? members.find(({ peer }) => peer === server)
    if (!found) throw new UsageError(`There is no server ${server} in the cluster: it has ${listOf(members)}.`)
    if (found.answers) {
      throw new UsageError(`${server} answers: it is not gone. Stop it for good first, if you want it removed.`)
    }
    if ((found.silent && found.name !== null) || asked > 1) return { members, found }
    await sleep(RESTART_MS)
  }
}

function listOf(members: readonly ClusterMember[]): string {
  const named = members.flatMap(({ name }) => name ?? [])
  const unnamed = members.flatMap(({ name, peer }) => (name === null && peer !== null ? [peer] : []))
  const rest = `${unnamed.length === 1 ? 'one' : unnamed.length} whose name it does not know: give the peer id, ${unnamed.join(', ')}`
  return [...named, ...(unnamed.length > 0 ? [rest] : [])].join(', ')
}

export const remove = (connection: EventsConnection, server: ClusterMember): Promise<void> =>
  removeFromCluster(connection, server, REMOVE_MS)

/** Where the stream is then; null when no service has made it again in time. @throws the last failure to ask for it */
export async function awaitStream(connection: EventsConnection): Promise<StreamPlace | null> {
  const until = performance.now() + STREAM_MS
  for (;;) {
    const late = performance.now() >= until
    try {
      const found = await readStreamState(connection)
      if (found?.leader || late) return found && { leader: found.leader, messages: found.messages }
    } catch (error) {
      if (late || !(error instanceof EventsUnavailable)) throw error
    }
    await sleep(AGAIN_MS)
  }
}

export { STREAM }
