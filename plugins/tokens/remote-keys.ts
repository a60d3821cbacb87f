// The issuer's published keys, as this process knows them. They are fetched again when they are old, in the background, or
// before use after so long without a request that a key may have been withdrawn meanwhile; and when a token names an unknown
// key, at most once in ten seconds for all requests (twice a second until the first fetch worked).
// If the issuer is down: the last fetched keys stay valid for a day. (`get-jwks` fetches once for every unknown key and drops
// its keys two minutes after the issuer went down, which is why it is not used here.)
import { TokenKeysUnavailable } from './errors.js'
import { type KeySet, parseKeySet, type VerifyingKey } from './key.js'

export interface RemoteKeysOptions {
  /** Where the JWKS document is; undefined: nowhere, and no token can be verified. */
  readonly url: string | undefined
  /** Called for the first failed fetch, and for the first that worked again. */
  readonly onChange?: (error: unknown) => void
  readonly fetch?: typeof fetch
  readonly now?: () => number
}

export interface RemoteKeys extends KeySet {
  /** Fetches now, or joins the fetch under way. */
  refresh(): Promise<void>
  close(): void
}

const FRESH_MS = 5 * 60_000
/** Older than this they are fetched before a token is accepted, unless the issuer is known to be down. */
const IDLE_MS = 2 * FRESH_MS
const GOOD_MS = 24 * 3_600_000
const COOLDOWN_MS = 10_000
/** While no key was ever read: the issuer may still be starting. */
const FIRST_COOLDOWN_MS = 500
const DEADLINE_MS = 3_000
const MAX_BYTES = 256 * 1024

export function createRemoteKeys(options: RemoteKeysOptions): RemoteKeys {
  const { url, onChange, fetch: ask = fetch, now = () => performance.now() } = options
  const closing = new AbortController()
  let keys = new Map<string, VerifyingKey>()
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failed = true
  let reported = false
  let flight: Promise<void> | null = null

  async function load(from: string): Promise<Map<string, VerifyingKey>> {
    // Not AbortSignal.any with a timeout: the garbage collector may take that, and then it never fires (nodejs/node#57736).
    const ending = new AbortController()
    const close = () => ending.abort(closing.signal.reason)
    const late = new DOMException(`the key set was not there within ${DEADLINE_MS} ms`, 'TimeoutError')
    const timer = setTimeout(() => ending.abort(late), DEADLINE_MS)
    closing.signal.addEventListener('abort', close)
    try {
      closing.signal.throwIfAborted()
      const response = await ask(from, {
        headers: { accept: 'application/json' },
        redirect: 'error',
        signal: ending.signal,
      })
      const text = await textOf(response)
      if (!response.ok) throw new Error(`the key set answers ${response.status}`)
      return parseKeySet(JSON.parse(text))
    } finally {
      clearTimeout(timer)
      closing.signal.removeEventListener('abort', close)
    }
  }

  async function fly(): Promise<void> {
    triedAt = now()
    try {
      if (!url) throw new Error('no key set is configured')
      keys = await load(url)
      fetchedAt = now()
      failed = false
      if (reported) onChange?.(undefined)
      reported = false
    } catch (error) {
      failed = true
      if (!reported && !closing.signal.aborted) onChange?.(error)
      reported = true
    } finally {
      flight = null
    }
  }

  function refresh(): Promise<void> {
    flight ??= fly()
    return flight
  }

  return {
    refresh,
    async find(kid) {
      const age = now() - fetchedAt
      const calm = now() - triedAt > (keys.size > 0 ? COOLDOWN_MS : FIRST_COOLDOWN_MS)
      const known = keys.get(kid)
      if (known && age < GOOD_MS) {
        if (age <= FRESH_MS || !(flight || calm)) return known
        // Never rejects.
        const asked = refresh()
        if (age <= IDLE_MS || failed) return known
        await asked
      } else if (flight || calm) await refresh()
      const fresh = keys.get(kid)
      if (fresh && now() - fetchedAt < GOOD_MS) return fresh
      // A key unknown to an issuer that answers is a wrong token; an issuer that does not answer may have made a new key.
      if (failed) throw new TokenKeysUnavailable()
      return null
    },
    close: () => closing.abort(),
  }
}

async function textOf(response: Response): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true })
    if (text.length > MAX_BYTES) throw new Error(`the key set is larger than ${MAX_BYTES} bytes`)
  }
  return text
}
