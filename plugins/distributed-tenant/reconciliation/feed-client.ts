// The client of identity's feed: HTTP with the service's token, one deadline per request, pages in the order of the changes.
// It needs neither NATS nor Redis. Invariant: any response that is not a well-formed answer of identity (no answer, another
// server's 404, a redirect) is IDENTITY_UNAVAILABLE, so that "unknown" is never concluded from "cannot know". One unreadable
// row of a page is set apart and keeps no other tenant's change from being read.

import { compileValidator, isTenantId, TENANT_ID_MAX, TENANT_ID_PATTERN, type TenantId } from '../../../events/index.js'
import { Type } from '../../../events/json-schema.js'
import { withCause } from '../../../postgres/connections/failures.js'
import { IdentityUnavailable } from '../errors.js'
import type { FeedTenant } from '../registry/identity-state.js'
import type { ServiceName } from '../types.js'

/** A row of a page that cannot be read. */
export interface Flawed {
  /** Null when even the id cannot be read. */
  readonly id: TenantId | null
  /** The id, or else the number of the change. */
  readonly name: string
  /** The wrong field and the number of the change; never a value. */
  readonly detail: string
}

export interface FeedPage {
  readonly items: readonly FeedTenant[]
  readonly flawed: readonly Flawed[]
  /** Send it as `after` for the next page. */
  readonly next: number
  /** The newest change there is: behind `after` when identity was restored from an older state. */
  readonly head: number
  /** Of identity's database: another one when it was set back or moved. Absent from an earlier release. */
  readonly history?: string | undefined
}

export interface Feed {
  /** The changes behind `after`, each tenant once; unreadable rows are in `flawed`. @throws IDENTITY_UNAVAILABLE */
  changes(after: number, limit?: number): Promise<FeedPage>
  /** One tenant, null if identity does not know it. @throws IDENTITY_UNAVAILABLE */
  tenant(id: TenantId): Promise<FeedTenant | null>
}

export interface FeedOptions {
  /** The URL of identity, without a path. */
  readonly url: string
  /** Sent as a bearer token; never part of an error. */
  readonly token: string
  /** The reading service: its statuses in the ledger are part of the rows. */
  readonly service?: ServiceName
  /** Milliseconds for one request. Default 5,000. */
  readonly deadline?: number
}

const PAGE = 1_000
const DEADLINE_MS = 5_000

const Seq = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const instant = Type.Union([Type.Null(), Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$', maxLength: 35 })])
const FeedTenantShape = Type.Object({
  seq: Seq,
  id: Type.String({ pattern: TENANT_ID_PATTERN, maxLength: TENANT_ID_MAX }),
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  name: Type.String({ minLength: 1 }),
  domain: Type.Union([Type.Null(), Type.String()]),
  settings: Type.Record(Type.String(), Type.Unknown()),
  lifecycle: Type.Union([Type.Literal('active'), Type.Literal('suspended'), Type.Literal('deleted')]),
  incarnation: Type.Optional(Type.Union([Type.Null(), Type.String({ pattern: '^[0-9a-f]{32}$' })])),
  ledger: Type.Optional(Type.Union([Type.Null(), Type.Object({ status: Type.String(), revision: Seq })])),
  deletedAt: instant,
  purgeAfter: instant,
  purgeable: Type.Boolean(),
})
const feedTenantShape = compileValidator(FeedTenantShape)
const pageShape = compileValidator(
  Type.Object({
    items: Type.Array(Type.Unknown()),
    next: Seq,
    head: Seq,
    history: Type.Optional(Type.String({ maxLength: 100 })),
  }),
)

export function createFeed({ url, token, service, deadline = DEADLINE_MS }: FeedOptions): Feed {
  let base = url
  while (base.endsWith('/')) base = base.slice(0, -1)

  async function ask(path: string): Promise<{ status: number; body: unknown }> {
    try {
      const response = await fetch(`${base}/api/tenants/changes${path}`, {
        // One request every ten seconds: a connection of its own is closed after it. A redirect would forward the token.
        headers: { authorization: `Bearer ${token}`, accept: 'application/json', connection: 'close' },
        redirect: 'error',
        signal: AbortSignal.timeout(deadline),
      })
      return { status: response.status, body: await response.json() }
    } catch (error) {
      throw unavailable(reasonOf(error, deadline), error)
    }
  }

  return {
    async changes(after, limit = PAGE) {
      const { status, body } = await ask(`?after=${after}&limit=${limit}${service ? `&service=${service}` : ''}`)
      if (status !== 200) throw unavailable(refusal(status))
      if (!pageShape.Check(body)) throw unavailable('its answer is not a page of the feed')
      const items: FeedTenant[] = []
      const flawed: Flawed[] = []
      for (const item of body.items) {
        if (feedTenantShape.Check(item)) items.push(item as unknown as FeedTenant)
        else flawed.push(flawOf(item))
      }
      return { items, flawed, next: body.next, head: body.head, history: body.history }
    },
    async tenant(id) {
      const { status, body } = await ask(`/${id}`)
      // Only identity's own answer counts: a proxy's 404 proves nothing about the tenant.
      if (status === 404 && (body as { code?: unknown } | null)?.code === 'TENANT_NOT_FOUND') return null
      if (status !== 200) throw unavailable(refusal(status))
      if (!feedTenantShape.Check(body) || body.id !== id) throw unavailable('its answer is not this tenant')
      return body as unknown as FeedTenant
    },
  }
}

function flawOf(item: unknown): Flawed {
  const { id, seq } = (item ?? {}) as { id?: unknown; seq?: unknown }
  const [first] = feedTenantShape.Errors(item)
  const where = Number.isSafeInteger(seq) ? `change ${seq}` : 'a change without a number'
  const known = isTenantId(id) ? id : null
  return {
    id: known,
    name: known ?? where,
    detail: `${where} of identity’s feed cannot be read (${first?.instancePath || 'the row'}): the registry keeps what it has`,
  }
}

function unavailable(reason: string, cause?: unknown): Error {
  const error = new IdentityUnavailable(reason)
  return cause === undefined ? error : withCause(error, cause)
}

function refusal(status: number): string {
  return status === 401 ? 'it refuses SERVICE_TOKEN' : `it answers ${status}`
}

/** `fetch` hides the reason one level down. */
function reasonOf(error: unknown, deadline: number): string {
  if ((error as Error).name === 'TimeoutError') return `no answer within ${deadline} ms`
  if (error instanceof SyntaxError) return 'its answer is not JSON'
  const { cause } = error as { cause?: { code?: string; message?: string } }
  return cause?.code ?? cause?.message ?? (error as Error).message
}
