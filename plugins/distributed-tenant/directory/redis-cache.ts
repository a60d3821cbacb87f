// The directory's second layer: lookups cached in Redis for an hour. Keys `fdt:v1:<service>:<id>`; values hold the fields of
// `request.tenant` and the row's state, never routing, under a seal (entry-seal.ts) with the time of writing. An entry that
// this service has not written for this tenant within the hour is a miss, is counted and removed.
// If Redis is down: each lookup is a miss within a short deadline, and after three failures in a row Redis gets one command a
// second until one is answered, so that it costs nothing, and a frozen server fills no queue of the client.

import { within } from '../../../timing/deadline.js'
import type { RedisClient } from '../config/options.js'
import type { RoleKey } from '../credentials/role-credentials.js'
import type { RemoteFlaw, RemoteReport } from '../diagnostics/steps.js'
import type { JsonObject, Lifecycle, Provisioned, ServiceName, TenantId } from '../types.js'
import { createSeal, SEAL_BYTES, type Seal } from './entry-seal.js'
import { commandDeadlineOf, namedFault, withoutCommand } from './redis-client.js'

/** The result of a lookup: enough to decide and to show, nothing to route by. */
export interface DirectoryEntry {
  readonly id: TenantId
  readonly name: string
  readonly domain: string | null
  readonly settings: JsonObject
  readonly version: number
  readonly lifecycle: Lifecycle
  readonly provisioned: Provisioned
  /** The tenant migration its database is at; 0 before the first. */
  readonly schemaVersion: number
  readonly revision: number
  /** The incarnation of the tenant. */
  readonly incarnation: string | null
}

export interface Remote {
  /**
   * `history`: of the registry, see `readHistory`; an entry of another history does not match this registry's rows.
   * Null for a miss, garbage, another tenant's entry, or no Redis.
   */
  get(id: TenantId, history: string): Promise<DirectoryEntry | null>
  /** Written by revision: an older row of the same history never replaces a newer one. Never rejects. */
  put(entry: DirectoryEntry, history: string): Promise<void>
  /** Writes and reads as lookups do. @throws the reason why lookups cannot be cached there */
  check(): Promise<void>
}

/** Refuses to go back in time, atomically. KEYS[1]; ARGV: value, revision, ttl in ms, where the JSON of a value begins, history. */
const PUT_BY_REVISION = `
local known = redis.call('GET', KEYS[1])
if known then
  local ok, entry = pcall(cjson.decode, string.sub(known, tonumber(ARGV[4])))
  if ok and type(entry) == 'table' and entry.history == ARGV[5] and tonumber(entry.revision) and tonumber(entry.revision) > tonumber(ARGV[2]) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1`

const FAILURES_TO_OPEN = 3
const OPEN_MS = 1_000
const MAX_ENTRY_BYTES = 256 * 1024
const CHECK_LIFE_MS = 60_000
/** Hash tags of the first and the last slot: no single node of a Redis Cluster has both. */
const CHECKED_SLOTS = ['la2', 'hia']

export function createRemote(options: {
  readonly redis: RedisClient
  readonly service: ServiceName
  /** The keys of the seal; the first is current. */
  readonly keys: readonly RoleKey[]
  readonly ttlMs: number
  readonly report: (event: RemoteReport) => void
}): Remote {
  const { redis, service, ttlMs, report } = options
  const seal = createSeal(service, options.keys)
  const key = (id: TenantId): string => `fdt:v1:${service}:${id}`
  const deadlineMs = commandDeadlineOf(redis)
  let failures = 0
  let openUntil = 0
  let checking: Promise<void> | null = null

  /** A client that was passed in may have no deadline: on a frozen server its commands, and so requests, would wait for ever. */
  const ask = <T>(command: () => Promise<T>): Promise<T> =>
    within(deadlineMs, command(), () => {
      throw new Error(`Redis did not answer within ${deadlineMs} ms`)
    })

  /** `id`: of the entry that is read. */
  async function guarded<T>(command: () => Promise<T>, id?: TenantId): Promise<T | null> {
    const now = performance.now()
    if (now < openUntil) return null
    // This is the one command of the next second.
    if (failures >= FAILURES_TO_OPEN) openUntil = now + OPEN_MS
    try {
      const answer = await ask(command)
      failures = 0
      openUntil = 0
      return answer
    } catch (error) {
      // Redis answers, and the value under the key is no string.
      if (error instanceof Error && error.message.startsWith('WRONGTYPE')) {
        report({ type: 'remote_garbage' })
        if (id) takeAway(id)
        return null
      }
      report({ type: 'remote_failed', error: withoutCommand(error) })
      if (++failures >= FAILURES_TO_OPEN) openUntil = performance.now() + OPEN_MS
      return null
    }
  }

  /** Left there, it could keep a right entry from being put, by a newer revision in it. */
  function takeAway(id: TenantId): void {
    void guarded(() => redis.unlink(key(id)))
  }

  async function writeAndRead(name: string): Promise<void> {
    try {
      await redis.eval(PUT_BY_REVISION, 1, name, 'written by the health check', 0, CHECK_LIFE_MS, 1, '')
      await redis.getrangeBuffer(name, 0, 1)
    } catch (error) {
      throw namedFault(error)
    }
  }

  return {
    async get(id, history) {
      // One byte more than an entry may have: a value of 10 MB is not fetched to be refused.
      const bytes = await guarded(() => redis.getrangeBuffer(key(id), 0, MAX_ENTRY_BYTES), id)
      if (bytes === null || bytes.length === 0) return null
      const entry = readEntry(bytes, id, { service, seal, since: Date.now() - ttlMs, history })
      if (typeof entry !== 'string') return entry
      report({ type: `remote_${entry}` })
      if (entry !== 'outdated') takeAway(id)
      return null
    },
    async put(entry, history) {
      const value = seal.close(JSON.stringify({ service, at: Date.now(), history, ...entry }))
      if (Buffer.byteLength(value) > MAX_ENTRY_BYTES) return
      const life = Math.ceil(ttlMs)
      const json = SEAL_BYTES + 1
      await guarded(() => redis.eval(PUT_BY_REVISION, 1, key(entry.id), value, entry.revision, life, json, history))
    },
    check() {
      // A frozen server gets no second one.
      checking ??= Promise.all(CHECKED_SLOTS.map(tag => writeAndRead(`fdt:v1:${service}:health:{${tag}}`)))
        .then(() => {})
        .finally(() => {
          checking = null
        })
      return checking
    },
  }
}

const lifecycles = new Set<unknown>(['active', 'suspended', 'deleted'])
const provisionedStates = new Set<unknown>(['pending', 'ready', 'failed', 'foreign', 'removed'])

/** The conditions under which an entry is accepted. */
export interface Belief {
  readonly service: ServiceName
  readonly seal: Seal
  /** When it may have been written at the earliest, by the clock of this process. */
  readonly since: number
  readonly history: string
}

/** The entry of exactly this tenant in this service, sealed and written since, or its flaw. */
export function readEntry(bytes: Buffer, id: TenantId, belief: Belief): DirectoryEntry | RemoteFlaw {
  if (bytes.length > MAX_ENTRY_BYTES) return 'oversized'
  const text = belief.seal.open(bytes)
  return text === null ? 'garbage' : parseEntry(text, id, belief)
}

/** The content of a seal. `history` null: of any. */
export function parseEntry(
  bytes: Buffer,
  id: TenantId,
  { service, since, history }: { service: ServiceName; since: number; history: string | null },
): DirectoryEntry | RemoteFlaw {
  let raw: Record<string, unknown>
  try {
    raw = JSON.parse(bytes.toString('utf8'))
  } catch {
    return 'garbage'
  }
  if (typeof raw !== 'object' || raw === null) return 'garbage'
  const { name, domain, settings, version, lifecycle, provisioned, schemaVersion, revision, incarnation = null } = raw
  const fits =
    typeof name === 'string' &&
    (domain === null || typeof domain === 'string') &&
    typeof settings === 'object' &&
    settings !== null &&
    !Array.isArray(settings) &&
    Number.isSafeInteger(version) &&
    Number.isSafeInteger(revision) &&
    lifecycles.has(lifecycle) &&
    provisionedStates.has(provisioned) &&
    (schemaVersion === undefined || Number.isSafeInteger(schemaVersion)) &&
    (incarnation === null || typeof incarnation === 'string')
  if (!fits) return 'garbage'
  if (raw.id !== id || raw.service !== service) return 'foreign'
  // An old entry could be put back when its revision is no longer remembered.
  if (schemaVersion === undefined || !(Number(raw.at) >= since)) return 'outdated'
  if (typeof raw.history !== 'string' || raw.history !== (history ?? raw.history)) return 'outdated'
  return {
    ...{ id, name, domain, settings, version, lifecycle, provisioned, schemaVersion, revision, incarnation },
  } as DirectoryEntry
}
