// The client of a service's operator API, with the operator's token and name. Invariant: the token goes into a header and nowhere
// else, and never to another address by a redirect. If the service does not answer: ServiceSilent, which is not an answer.
import { OPERATOR_PREFIX } from '../plugins/operator/prefix.js'
import { operatorName } from './audit-trail.js'
import { ApiError } from './identity-api.js'

/** Whether the request was carried out is not known. */
export class ServiceSilent extends Error {
  readonly reason: string

  constructor(
    service: string,
    url: string,
    reason: string,
    { changing, cause }: { changing: boolean; cause: unknown },
  ) {
    const unknown = changing ? ' Whether it was done is not known: look before you repeat it.' : ''
    super(`${service} at ${url} does not answer (${reason}): check that it runs, and its address.${unknown}`, { cause })
    this.reason = reason
  }
}

export interface CallOptions {
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds; default 70,000, longer than the longest wait of a route. */
  readonly deadlineMs?: number
}

export interface OperatorApi {
  readonly service: string
  readonly url: string
  /**
   * @param path behind `/api/operator`
   * @throws ServiceSilent; ApiError with the service's own text, code and status
   */
  call<T>(method: 'GET' | 'POST', path: string, options?: CallOptions): Promise<T>
}

const DEADLINE_MS = 70_000
const LONGEST_NAME = 100

export function operatorApi(service: string, url: string, token: string): OperatorApi {
  const name = encodeURIComponent(operatorName().slice(0, LONGEST_NAME))
  // Not resolved against the address: that would drop the path of an address behind a proxy.
  const base = url.replace(/\/$/, '') + OPERATOR_PREFIX

  async function send(method: string, path: string, { body, headers, deadlineMs = DEADLINE_MS }: CallOptions) {
    try {
      const response = await fetch(base + path, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          'operator-name': name,
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
        redirect: 'error',
        signal: AbortSignal.timeout(deadlineMs),
        ...(body && { body: JSON.stringify(body) }),
      })
      return { status: response.status, text: await response.text() }
    } catch (error) {
      throw new ServiceSilent(service, url, reasonOf(error), { changing: method !== 'GET', cause: error })
    }
  }

  return {
    service,
    url,
    async call<T>(method: 'GET' | 'POST', path: string, options: CallOptions = {}) {
      const { status, text } = await send(method, path, options)
      const answer = parsed(text)
      if (status >= 200 && status < 300 && answer !== undefined) return answer as T
      const { message, code } = (answer ?? {}) as { message?: string; code?: string }
      throw new ApiError(
        message ?? `${service} at ${url} answered ${status} without JSON: is it the service?`,
        status,
        code,
      )
    },
  }
}

/** Null for no text, undefined for one that is no JSON, as of a proxy. */
function parsed(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `fetch failed` alone says nothing; its cause has the code. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } }
  if (name === 'TimeoutError') return 'no answer in time'
  return cause?.code ?? cause?.message ?? message
}
