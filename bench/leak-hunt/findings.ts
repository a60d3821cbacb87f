// What the hunt has found so far: counts, and the first few of each violation in full. A failed request is no
// violation when it says that its connection was lost or its turn did not come: backends are killed on purpose.

export interface Counts {
  readonly sent: Record<string, number>
  readonly replies: number
  readonly foreign: number
  readonly leftovers: number
  readonly allowed: Record<string, number>
  readonly unexpected: number
  /** Writes that were answered with success, by their token. */
  readonly confirmed: ReadonlySet<string>
  /** The first of the violations. */
  readonly examples: readonly string[]
}

export interface Findings {
  sent(kind: string): void
  replied(kind: string, tenant: string, secret: string, reply: Record<string, unknown>): void
  confirmed(token: string): void
  failed(kind: string, status: number, body: string): void
  counts(): Counts
}

/** The state of a session that was never used before. */
const untouched: Readonly<Record<string, readonly unknown[]>> = {
  mark: [null, ''],
  temporary: [null],
  transaction: [null],
  locks: [0],
  channels: [0],
  cursors: [0],
  path: ['"$user", public'],
  frozen: ['off'],
}

const allowedCodes = /TENANT_(BUSY|DATABASE_UNAVAILABLE|COMMIT_UNKNOWN|QUERY_TIMEOUT)|"statusCode":418/
/** While the server restarts the registry cannot be asked either. */
const allowedInRestarts = /TENANT_LOOKUP_FAILED/

const EXAMPLES = 10

export function createFindings({ restarts }: { restarts: boolean }): Findings {
  const sent: Record<string, number> = {}
  const allowed: Record<string, number> = {}
  const examples: string[] = []
  const confirmed = new Set<string>()
  let replies = 0
  let foreign = 0
  let left = 0
  let unexpected = 0

  const example = (text: string): void => {
    if (examples.length < EXAMPLES) examples.push(text)
  }
  const raise = (counts: Record<string, number>, key: string): void => {
    counts[key] = (counts[key] ?? 0) + 1
  }

  return {
    sent: kind => raise(sent, kind),
    replied(kind, tenant, secret, reply) {
      replies++
      const strangers = reply.strangers ?? 0
      if (reply.secret !== secret || strangers !== 0) {
        foreign++
        example(`foreign: ${kind} for ${tenant} answered ${JSON.stringify(reply)}`)
      }
      const found = Object.entries(untouched).filter(([key, fine]) => key in reply && !fine.includes(reply[key]))
      if (found.length > 0) {
        left++
        example(`leftover: ${kind} for ${tenant} found ${found.map(([key]) => `${key}=${reply[key]}`).join(', ')}`)
      }
    },
    confirmed: token => void confirmed.add(token),
    failed(kind, status, body) {
      const [code] = allowedCodes.exec(body) ?? ((restarts && allowedInRestarts.exec(body)) || [])
      // A stream that has begun can only be cut.
      if (code || (status === 0 && kind === 'stream')) return raise(allowed, code ?? 'stream cut')
      unexpected++
      example(`unexpected: ${kind} answered ${status} ${body.slice(0, 300)}`)
    },
    counts: () => ({ sent, replies, foreign, leftovers: left, allowed, unexpected, confirmed, examples }),
  }
}
