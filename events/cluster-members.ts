// The servers of a NATS cluster as its leader counts them, and the removal of one that is gone for good. Asked and done as a user of the
// system account. Invariant: one request removes one server; nothing here removes a server by itself.
// If the cluster has no leader: there are no members, and nothing can be removed.
import type { EventsConnection } from './connection.js'
import { classify, EventRejected, EventsUnavailable, isNoResponders } from './failures.js'
import { SILENT_NANOS } from './inspection.js'
import { natsLibrary } from './libraries.js'

export interface ClusterMember {
  /** Null: the cluster has not met it since its other servers began, and knows its id alone. */
  readonly name: string | null
  /** The id that the cluster counts it by; null where a release does not report it. */
  readonly peer: string | null
  readonly leads: boolean
  /** It has answered the question of now. */
  readonly answers: boolean
  /** The leader has had nothing of it for 10 s or more. False does not prove that it has: releases count this in several ways. */
  readonly silent: boolean
}

export interface ClusterMembers {
  readonly leader: string | null
  /** Those that keep the cluster's list of streams; empty without a leader. */
  readonly members: readonly ClusterMember[]
}

/** Of a server's answer what is read here. */
interface JetStreamReport {
  readonly server?: { readonly name?: string }
  readonly data?: {
    readonly meta_cluster?: {
      readonly leader?: string
      readonly peer?: string
      readonly replicas?: readonly {
        readonly name: string
        readonly peer?: string
        readonly offline?: boolean
        readonly active: number
      }[]
    }
  }
}

/** What the cluster writes in place of a name. */
const UNKNOWN = /^Server name unknown/

/** All answers within the deadline are awaited. Throws EventsUnavailable when no server answers this user. */
export async function readClusterMembers(connection: EventsConnection, timeoutMs: number): Promise<ClusterMembers> {
  const reports: JetStreamReport[] = []
  try {
    const { RequestStrategy } = natsLibrary()
    const how = { strategy: RequestStrategy.Timer, maxWait: timeoutMs }
    const answers = await connection.client().requestMany('$SYS.REQ.SERVER.PING.JSZ', '{}', how)
    for await (const answer of answers) if (answer.data.length > 0) reports.push(answer.json<JetStreamReport>())
  } catch (error) {
    if (!isNoResponders(error)) throw classify(error, 'the servers of the cluster could not be asked')
  }
  if (reports.length === 0)
    throw new EventsUnavailable('no server answers this user: it must be one of the system account')
  const answering = new Set(reports.flatMap(({ server }) => server?.name ?? []))
  const ofLeader = reports.find(({ server, data }) => server?.name && server.name === data?.meta_cluster?.leader)
  const leader = ofLeader?.server?.name ?? null
  if (leader === null) return { leader, members: [] }
  const { peer = null, replicas = [] } = ofLeader?.data?.meta_cluster ?? {}
  const members = replicas.map(({ name, peer = null, offline, active }) => ({
    name: UNKNOWN.test(name) ? null : name,
    peer,
    leads: false,
    answers: answering.has(name),
    silent: offline === true || active > SILENT_NANOS,
  }))
  const own = { name: leader, peer, leads: true, answers: true, silent: false }
  const order = ({ name, peer }: ClusterMember): string => name ?? `~${peer}`
  return { leader, members: [own, ...members].sort((a, b) => (order(a) < order(b) ? -1 : 1)) }
}

/** Streams with their only copy on it are then made again on another one, empty. Throws EventsUnavailable or EventRejected. */
export async function removeFromCluster(
  connection: EventsConnection,
  { name, peer }: Pick<ClusterMember, 'name' | 'peer'>,
  timeoutMs: number,
): Promise<void> {
  const what = `the server ${name ?? `of the peer id ${peer}`} could not be removed`
  let answer: { success?: boolean; error?: { description?: string; err_code?: number } }
  try {
    const body = JSON.stringify(name === null ? { peer: '', peer_id: peer } : { peer: name })
    answer = (await connection.client().request('$JS.API.SERVER.REMOVE', body, { timeout: timeoutMs })).json()
  } catch (error) {
    throw classify(error, what)
  }
  if (answer.success) return
  const { description = 'no reason is given', err_code } = answer.error ?? {}
  throw new EventRejected(`${what}: ${description}${err_code === undefined ? '' : ` (${err_code})`}`)
}
