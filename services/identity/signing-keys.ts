// The keys that sign tokens: made in the central database, shared by every replica, replaced every 30 days. A new key
// is published ten minutes before it signs and an old one until its last token has expired, so there are at most two at a
// time and no verifier notices. If the database is down: the keys that were read last go on signing and verifying.
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'
import { TokenKeysUnavailable } from '../../plugins/tokens/errors.js'
import { type KeySet, type VerifyingKey, verifyingKey } from '../../plugins/tokens/key.js'
import { every } from '../../timing/timers.js'

export interface SigningKeys extends KeySet {
  /** Reads the keys, makes missing ones, and checks every minute until `close`. */
  open(central: SqlClient, onFailure: (error: unknown) => void): Promise<void>
  /** Makes and retires the keys that are due, and reads anew. */
  rotate(): Promise<void>
  /** The key that signs now. @throws TOKEN_KEYS_UNAVAILABLE while there is none */
  signer(): { readonly kid: string; readonly privateKey: string }
  /** The document of `/.well-known/jwks.json`. */
  published(): { keys: Record<string, string>[] }
  close(): void
}

interface Row {
  readonly kid: string
  readonly privateKey: string
  readonly publicKey: Record<string, string>
  /** Milliseconds from when it was read until it signs; by the database's clock. */
  readonly signsInMs: number
}

export const TOKEN_SECONDS = 15 * 60
const LIFE_DAYS = 30
const LEAD_SECONDS = 10 * 60
/** The lifetime of a token, and the tolerated difference of clocks. */
const TAIL_SECONDS = TOKEN_SECONDS + 60
const LOOK_MS = 60_000
/** An unknown key may be one that another replica has just made. */
const COOLDOWN_MS = 1_000
/** The first replica to get the lock does it; the number has no meaning. */
const LOCK = 7_301_001

/** @param lookMs between two checks of the table, which make, activate and retire keys */
export function createSigningKeys(lookMs = LOOK_MS): SigningKeys {
  let central: SqlClient | null = null
  let rows: readonly Row[] = []
  let verifying = new Map<string, VerifyingKey>()
  let readAt = Number.NEGATIVE_INFINITY
  let flight: Promise<void> | null = null
  let stop = (): void => {}

  async function settle(sql: SqlClient): Promise<void> {
    const found = await sql.begin(async sql => {
      // Not now(), which is the time before the wait for the lock: a key just made by another replica would be newer.
      await sql`select pg_advisory_xact_lock(${LOCK})`
      await sql`delete from signing_keys where retires_at < clock_timestamp()`
      const [newest] = await sql<{ old: boolean }[]>`
        select signs_from < clock_timestamp() - make_interval(days => ${LIFE_DAYS}) as old
        from signing_keys order by signs_from desc limit 1`
      if (!newest || newest.old) {
        const { kid, privateKey, publicKey } = newKey()
        const lead = newest ? LEAD_SECONDS : 0
        await sql`
          update signing_keys set retires_at = clock_timestamp() + make_interval(secs => ${lead + TAIL_SECONDS})
          where retires_at is null`
        await sql`
          insert into signing_keys (kid, private_key, public_key, signs_from)
          values (${kid}, ${privateKey}, ${sql.json(publicKey)}, clock_timestamp() + make_interval(secs => ${lead}))`
      }
      return sql<Row[]>`
        select kid, private_key as "privateKey", public_key as "publicKey",
          (extract(epoch from signs_from - clock_timestamp()) * 1000)::float8 as "signsInMs"
        from signing_keys order by signs_from desc`
    })
    rows = found
    verifying = new Map(
      found.flatMap(({ kid, publicKey }) => {
        const key = verifyingKey(publicKey)
        return key ? [[kid, key] as const] : []
      }),
    )
    readAt = performance.now()
  }

  function rotate(): Promise<void> {
    if (!central) return Promise.reject(new TokenKeysUnavailable())
    flight ??= settle(central).finally(() => {
      flight = null
    })
    return flight
  }

  return {
    rotate,
    async open(sql, onFailure) {
      central = sql
      await rotate()
      stop = every(lookMs, rotate, onFailure)
    },
    async find(kid) {
      const known = verifying.get(kid)
      if (known || performance.now() - readAt < COOLDOWN_MS) return known ?? null
      try {
        await rotate()
      } catch {
        throw new TokenKeysUnavailable()
      }
      return verifying.get(kid) ?? null
    },
    signer() {
      const since = performance.now() - readAt
      const row = rows.find(({ signsInMs }) => signsInMs <= since)
      if (!row) throw new TokenKeysUnavailable()
      return row
    },
    published: () => ({ keys: rows.map(({ publicKey }) => publicKey) }),
    close: () => stop(),
  }
}

function newKey(): { kid: string; privateKey: string; publicKey: Record<string, string> } {
  const pair = generateKeyPairSync('ed25519')
  const { x = '' } = pair.publicKey.export({ format: 'jwk' })
  const kid = randomUUID()
  return {
    kid,
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' },
  }
}
