// The client of identity's API: the operator's side, with the admin token. A refusal of the API keeps its own text; an identity
// service that cannot be reached is an error of its own.
import { UsageError } from './outcome.js'
import type { Targets } from './targets.js'

export interface TenantView {
  readonly id: string
  readonly name: string
  readonly domain: string | null
  readonly lifecycle: string
  readonly version: number
  readonly status: string
  readonly services: Readonly<
    Record<
      string,
      { status: string; step: string | null; attempts: number; lastError: string | null; nextTryAt: string | null }
    >
  >
  readonly createdAt: string
}

/** A refusal of identity's, with its own text. */
export class ApiError extends Error {
  readonly statusCode: number
  readonly code: string | undefined

  constructor(message: string, statusCode: number, code?: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

export interface IdentityApi {
  call<T>(method: string, path: string, options?: { body?: object; headers?: Record<string, string> }): Promise<T>
  /** Every tenant, page by page. */
  tenants(lifecycle?: string): AsyncGenerator<TenantView>
}

const DEADLINE_MS = 70_000
const PAGE = 200

/** @throws UsageError when its address or the token is not known */
export function identityApi({ identityUrl, adminToken, from }: Targets): IdentityApi {
  if (!identityUrl)
    throw new UsageError(`${from} has no address of identity: set IDENTITY_URL, or its url in --config.`)
  if (!adminToken) throw new UsageError(`${from} has no admin token: set ADMIN_TOKEN, or adminToken in --config.`)

  async function call<T>(
    method: string,
    path: string,
    options: { body?: object; headers?: Record<string, string> } = {},
  ): Promise<T> {
    const { body, headers } = options
    let response: Response
    try {
      response = await fetch(new URL(path, identityUrl as string), {
        method,
        headers: {
          authorization: `Bearer ${adminToken}`,
          ...(body ? { 'content-type': 'application/json' } : {}),
          ...headers,
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        signal: AbortSignal.timeout(DEADLINE_MS),
      })
    } catch (error) {
      throw new Error(`identity at ${identityUrl} does not answer: check that it runs and its address.`, {
        cause: error,
      })
    }
    const text = await response.text()
    const answer = text === '' ? null : JSON.parse(text)
    if (!response.ok) {
      throw new ApiError(answer?.message ?? `identity answered ${response.status}.`, response.status, answer?.code)
    }
    return answer as T
  }

  return {
    call,
    async *tenants(lifecycle) {
      let after: string | null = null
      do {
        const query = new URLSearchParams({ limit: String(PAGE) })
        if (after) query.set('after', after)
        if (lifecycle) query.set('lifecycle', lifecycle)
        const page: { items: TenantView[]; next: string | null } = await call('GET', `/api/tenants?${query}`)
        yield* page.items
        after = page.next
      } while (after)
    },
  }
}
