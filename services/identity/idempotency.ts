// The header `Idempotency-Key`: a creation that is requested twice is made once. The key is written in the tenant's own
// transaction, so after a crash both are there or neither; of two at once the second waits for the first. A refused
// request leaves no key: it may be sent again when its cause is removed. Keys are kept for two days.
import { createHash } from 'node:crypto'
import { createError } from '@fastify/error'
import type { JsonObject, JsonValue, Once, SqlClient, TenantId } from '../../plugins/distributed-tenant/index.js'
import { every } from '../../timing/timers.js'

export const IdempotencyMismatch = createError(
  'IDEMPOTENCY_MISMATCH',
  'This Idempotency-Key was used for another body: send the same body, or a new key.',
  409,
)
export const IdempotencyKeyInvalid = createError(
  'IDEMPOTENCY_KEY_INVALID',
  'The Idempotency-Key is malformed or repeated: send one of 1 to 255 visible ASCII characters, like a UUID.',
  400,
)

const KEY = /^[!-~]{1,255}$/
const SWEEP_MS = 3_600_000
const SWEPT_AT_ONCE = 1_000

export interface Idempotency {
  /** The guard that makes a creation happen once; undefined without a key. @throws IDEMPOTENCY_KEY_INVALID */
  once(key: string | string[] | undefined, body: object): Once | undefined
  /** Deletes the keys of more than two days ago. */
  sweep(): Promise<void>
  close(): void
}

export function createIdempotency(central: SqlClient, onError: (error: unknown) => void): Idempotency {
  const stop = every(SWEEP_MS, sweep, onError)

  async function sweep(): Promise<void> {
    let swept = SWEPT_AT_ONCE
    while (swept === SWEPT_AT_ONCE) {
      const gone = await central`
        delete from idempotency_keys where key in (
          select key from idempotency_keys where created_at < now() - interval '2 days' limit ${SWEPT_AT_ONCE})`
      swept = gone.count
    }
  }

  return {
    once(key, body) {
      if (key === undefined) return undefined
      if (typeof key !== 'string' || !KEY.test(key)) throw new IdempotencyKeyInvalid()
      const hash = createHash('sha256')
        .update(canonical(body as JsonObject))
        .digest()
      return async (sql, id) => {
        const mine = await sql`
          insert into idempotency_keys (key, body_hash, tenant_id) values (${key}, ${hash}, ${id})
          on conflict (key) do nothing returning key`
        if (mine.length > 0) return null
        // A statement of its own: it sees the commits of the first one meanwhile.
        const [known] = await sql<{ hash: Buffer; tenantId: TenantId }[]>`
          select body_hash as hash, tenant_id as "tenantId" from idempotency_keys where key = ${key}`
        if (!known?.hash.equals(hash)) throw new IdempotencyMismatch()
        return known.tenantId
      }
    },
    sweep,
    close: stop,
  }
}

/** The order of a JSON object's members has no meaning. */
function canonical(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.keys(value).sort()
  return `{${members.map(key => `${JSON.stringify(key)}:${canonical(value[key] as JsonValue)}`).join()}}`
}
