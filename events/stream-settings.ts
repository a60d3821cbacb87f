// The settings of the stream: those that are kept, and the differences of a stream from them. Pure.
// Invariant: a stream without differences drops no event before the outboxes do, and forgets none when a process is killed.
import type { StreamConfig } from 'nats'
import { natsLibrary } from './libraries.js'
import { STREAM_SUBJECTS } from './subjects.js'

export interface StreamSettings {
  /** Copies in a cluster: 1, 3 or 5. One that is there is raised to it, and never lowered. Default 1. */
  replicas?: number | undefined
  /** How long events are kept, in milliseconds. Default 30 days, as long as the outbox keeps its rows. */
  maxAgeMs?: number
}

const NANOS_PER_MS = 1_000_000
const NANOS_PER_DAY = 86_400_000 * NANOS_PER_MS
const days = (nanos: number): string => `${nanos / NANOS_PER_DAY} days`
const DEDUPE_WINDOW_MS = 2 * 60 * 1000
const DEFAULT_MAX_AGE_MS = 30 * 24 * 60 * 60 * 1000

/** Without the replicas. @internal */
export const settingsOf = ({ maxAgeMs = DEFAULT_MAX_AGE_MS }: StreamSettings) => ({
  subjects: STREAM_SUBJECTS,
  storage: natsLibrary().StorageType.File,
  retention: natsLibrary().RetentionPolicy.Limits,
  discard: natsLibrary().DiscardPolicy.Old,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  max_age: maxAgeMs * NANOS_PER_MS,
  duplicate_window: DEDUPE_WINDOW_MS * NANOS_PER_MS,
})

/** Fields that the types of nats 2.29 do not have, or not in this form. @internal */
type Config = Partial<StreamConfig> & { readonly persist_mode?: string }

/** Whether it drops events because of others, so that events that are gone are no loss. @internal */
export const isLimited = ({ max_msgs, max_bytes, max_msgs_per_subject }: Config): boolean =>
  [max_msgs, max_bytes, max_msgs_per_subject].some(limit => Number(limit) > 0)

/** One sentence part for each setting by which events are lost or refused; none of them for a stream as identity makes it. @internal */
export function streamDifferences(config: Config, wanted: StreamSettings = {}): string[] {
  const { max_age } = settingsOf(wanted)
  const { DiscardPolicy, RetentionPolicy, StorageType } = natsLibrary()
  const found: string[] = []
  const must = (name: string, has: unknown, right: boolean, rule: string) => {
    if (!right) found.push(`${name} is ${String(has)} and must be ${rule}`)
  }
  const subjects = [...(config.subjects ?? [])]
  must(
    'subjects',
    subjects.join(' '),
    subjects.includes('tenant.>') || subjects.includes('>'),
    STREAM_SUBJECTS.join(' '),
  )
  must('storage', config.storage, config.storage === StorageType.File, 'file')
  must('retention', config.retention, config.retention === RetentionPolicy.Limits, 'limits')
  must('discard', config.discard, config.discard === DiscardPolicy.Old, 'old')
  for (const name of ['max_msgs', 'max_bytes', 'max_msgs_per_subject'] as const)
    must(name, config[name], !(Number(config[name]) > 0), '-1, for no limit')
  const age = config.max_age ?? 0
  must('max_age', days(age), age === 0 || age >= max_age, `${days(max_age)} or more`)
  must('duplicate_window', config.duplicate_window, Number(config.duplicate_window) > 0, '2 minutes')
  must('no_ack', config.no_ack, config.no_ack !== true, 'false')
  must('sealed', config.sealed, config.sealed !== true, 'false')
  must('persist_mode', config.persist_mode, config.persist_mode !== 'async', 'default')
  const { replicas = 1 } = wanted
  must('num_replicas', config.num_replicas, Number(config.num_replicas) >= replicas, `${replicas} or more`)
  return found
}
