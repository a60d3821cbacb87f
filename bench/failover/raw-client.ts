// A client of NATS that does nothing else: publishes with acknowledgment into a stream of its own, one message after the other, and reads
// them back by a durable consumer. How long NATS takes nothing and delivers nothing, without anything of the product.
// Invariant: one publish at a time is under way, so that a slow cluster is not asked faster than it answers.
import { setTimeout as sleep } from 'node:timers/promises'
import { AckPolicy, type JetStreamManager, type NatsConnection, RetentionPolicy, StorageType } from 'nats'

export const RAW_STREAM = 'RAW'
const SUBJECT = 'raw.publish'
const DURABLE = 'raw'
const PUBLISH_EVERY_MS = 20
/** A message is tried again so soon: an election is over sooner than the client's own 5 s. */
export const TRY_MS = 250
/** As the consumers of the product. A delivery that goes down with a leader is repeated after it. */
const ACK_WAIT_MS = 10_000
/** What is not read so long after the last publish counts as unread. */
const UNREAD_MS = 15_000
const PULL_MS = 1_000

export interface RawClient {
  /** Whether a publish that was begun after this was acknowledged. */
  publishedSince(at: number): boolean
  stop(): Promise<Seen>
}

/** Milliseconds: of the longest publish, and of the longest way to a first delivery. */
export interface Seen {
  readonly election: number
  readonly delivery: number
  readonly unread: number
}

/** @returns false when the cluster could not make it now */
export async function makeRawStream(jsm: JetStreamManager): Promise<boolean> {
  try {
    await jsm.streams.add({
      name: RAW_STREAM,
      subjects: [SUBJECT],
      num_replicas: 3,
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      max_msgs: 10_000,
    })
    const ack_wait = ACK_WAIT_MS * 1_000_000
    await jsm.consumers.add(RAW_STREAM, { durable_name: DURABLE, ack_policy: AckPolicy.Explicit, ack_wait })
    return true
  } catch {
    return false
  }
}

export function startRawClient(connection: NatsConnection): RawClient {
  const publisher = connection.jetstream({ timeout: TRY_MS })
  const reader = connection.jetstream({ timeout: PULL_MS })
  const read = new Set<number>()
  let publishes = true
  let reads = true
  let last = 0
  let acknowledged = 0
  let election = 0
  let delivery = 0

  async function publish(): Promise<void> {
    while (publishes) {
      const at = performance.now()
      if (!(await publishOne(at))) return
      acknowledged++
      last = at
      election = Math.max(election, performance.now() - at)
      await sleep(PUBLISH_EVERY_MS)
    }
  }

  /** @returns false when it is stopped before an acknowledgment */
  async function publishOne(at: number): Promise<boolean> {
    while (publishes) {
      try {
        await publisher.publish(SUBJECT, String(at), { msgID: String(at) })
        return true
      } catch {
        // Refused at once where there is no leader.
        await sleep(PUBLISH_EVERY_MS)
      }
    }
    return false
  }

  async function readBack(): Promise<void> {
    while (reads) {
      try {
        const consumer = await reader.consumers.get(RAW_STREAM, DURABLE)
        for await (const message of await consumer.fetch({ max_messages: 100, expires: PULL_MS })) {
          if (!message.redelivered) delivery = Math.max(delivery, performance.now() - Number(message.string()))
          read.add(message.seq)
          message.ack()
        }
      } catch {
        await sleep(PUBLISH_EVERY_MS)
      }
    }
  }

  const publishing = publish()
  const reading = readBack()
  return {
    publishedSince: at => last > at,
    async stop() {
      publishes = false
      await publishing
      const end = performance.now() + UNREAD_MS
      while (read.size < acknowledged && performance.now() < end) await sleep(PUBLISH_EVERY_MS)
      reads = false
      // A pull that is never answered is not waited for.
      await Promise.race([reading, sleep(ACK_WAIT_MS)])
      return { election, delivery, unread: Math.max(0, acknowledged - read.size) }
    },
  }
}
