// Calls of the services' operator API for a signed-in operator. The browser never has the token: it is added here, with the
// operator's name and role, which the service enforces. If a service is down: SERVICE_UNREACHABLE, within a deadline.
// Invariant: a 401 of a service is about the console's token and never ends the operator's session.
import { createError } from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { OPERATOR_PREFIX, type Operator } from '../operator/index.js'

export const ServiceUnreachable = createError('SERVICE_UNREACHABLE', 'The service %s %s', 502)
const silent = (reason: string): string =>
  `does not answer (${reason}): is it running, and is its address in CONSOLE_SERVICES right?`
const REFUSED = 'refuses the console’s token: is OPERATOR_TOKEN the same there?'
const failed = (status: number): string => `answers with status ${status}: see its log.`
export const ServiceUnknown = createError(
  'SERVICE_UNKNOWN',
  'The console knows no service of this name: name it in CONSOLE_SERVICES.',
  404,
)

export interface Answer {
  readonly status: number
  /** JSON, or empty. */
  readonly text: string
}

export interface Request {
  readonly method?: string
  /** Behind `/api/operator`, with its query. */
  readonly path: string
  readonly body?: unknown
  readonly deadlineMs?: number
}

export interface Services {
  readonly names: readonly string[]
  /** @throws SERVICE_UNKNOWN, SERVICE_UNREACHABLE */
  call(service: string, operator: Operator, request: Request): Promise<Answer>
  /** The parsed answer. @throws as `call`, and SERVICE_UNREACHABLE for any status but 200 */
  read<T>(service: string, operator: Operator, path: string, deadlineMs?: number): Promise<T>
  close(): void
}

/** `here`: the application that the console is registered in. */
export type Addresses = Readonly<Record<string, string | 'here'>>

const DEADLINE_MS = 10_000

export function createServices(app: FastifyInstance, addresses: Addresses, token: string): Services {
  const closing = new AbortController()

  function headersOf({ name, role }: Operator, body: unknown): Record<string, string> {
    return {
      authorization: `Bearer ${token}`,
      'operator-name': encodeURIComponent(name),
      'operator-role': role,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
  }

  async function here(operator: Operator, { method = 'GET', path, body }: Request): Promise<Answer> {
    const { statusCode, payload } = await app.inject({
      method: method as 'GET',
      url: OPERATOR_PREFIX + path,
      headers: headersOf(operator, body),
      ...(body !== undefined && { payload: JSON.stringify(body) }),
    })
    return { status: statusCode, text: payload }
  }

  async function there(address: string, operator: Operator, request: Request): Promise<Answer> {
    const { method = 'GET', path, body, deadlineMs = DEADLINE_MS } = request
    // Not resolved against the address: that would drop the path of an address behind a proxy.
    const response = await fetch(address.replace(/\/$/, '') + OPERATOR_PREFIX + path, {
      method,
      headers: headersOf(operator, body),
      redirect: 'error',
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(deadlineMs)]),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, text: await response.text() }
  }

  async function call(service: string, operator: Operator, request: Request): Promise<Answer> {
    if (!Object.hasOwn(addresses, service)) throw new ServiceUnknown()
    const address = addresses[service] as string
    const answer = await (address === 'here' ? here(operator, request) : there(address, operator, request)).catch(
      error => {
        throw new ServiceUnreachable(service, silent(reasonOf(error)))
      },
    )
    if (answer.status === 401) throw new ServiceUnreachable(service, REFUSED)
    return answer
  }

  return {
    names: Object.keys(addresses),
    call,
    async read<T>(service: string, operator: Operator, path: string, deadlineMs?: number) {
      const { status, text } = await call(service, operator, { path, ...(deadlineMs && { deadlineMs }) })
      if (status !== 200) throw new ServiceUnreachable(service, failed(status))
      return JSON.parse(text) as T
    },
    close: () => closing.abort(),
  }
}

/** `fetch failed` alone says nothing; its cause has the code. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string } }
  if (name === 'TimeoutError') return 'no answer in time'
  return cause?.code ?? message
}
