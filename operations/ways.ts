// The way by which a command reaches each service: its operator API where an address and a token are configured and it answers, else
// its database. Invariants: a refused token is an error and no reason for the other way; a service under a wrong address is never
// taken for another one.
import { ApiError } from './identity-api.js'
import { fromEach, type OpenService, withServices } from './open-services.js'
import { type OperatorApi, operatorApi, ServiceSilent } from './operator-api.js'
import { UsageError } from './outcome.js'
import type { ServiceTarget, Targets } from './targets.js'

export type Way =
  | { readonly way: 'operator API'; readonly url: string }
  | {
      readonly way: 'database'
      readonly because: string
      /** It was to be asked and did not answer; false where nothing of it is configured, or the operator wants it so. */
      readonly fault: boolean
    }

export type Ways = Readonly<Record<string, Way>>

export interface Asking<T> {
  /** Open the databases in any case. */
  readonly direct: boolean
  /** Before anything else is asked. */
  readonly onWays: (ways: Ways) => void
  readonly byApi: (api: OperatorApi) => Promise<T>
  readonly byDatabase: (service: OpenService) => Promise<T>
}

const PROBE_MS = 5_000

type Found = { readonly way: Way; readonly api: OperatorApi | null }

/** In the order of the targets, all at once; the first failure is thrown. */
export async function askEach<T>(targets: Targets, asking: Asking<T>): Promise<(readonly [string, T])[]> {
  const { services } = targets
  const found = await Promise.all(services.map(service => wayTo(service, targets, asking.direct)))
  const ways = Object.fromEntries(services.map(({ name }, at) => [name, (found[at] as Found).way]))
  asking.onWays(ways)
  const answers = new Map<string, T>()
  const byApi = Promise.all(
    found.map(async ({ api }) => {
      if (api) answers.set(api.service, await asking.byApi(api))
    }),
  )
  const opened = services.filter((_, at) => (found[at] as Found).api === null)
  const byDatabase =
    opened.length === 0
      ? null
      : withServices({ ...targets, services: opened }, async open => {
          for (const [name, answer] of await fromEach(open, asking.byDatabase)) answers.set(name, answer)
        }).catch(error => {
          throw withReason(error, ways)
        })
  await Promise.all([byApi, byDatabase])
  return services.map(({ name }) => [name, answers.get(name) as T] as const)
}

/**
 * @throws ApiError for a token that the service refuses; UsageError for an address that is another service's
 */
export async function wayTo(
  { name, url }: Pick<ServiceTarget, 'name' | 'url'>,
  { operatorToken, from }: Targets,
  direct: boolean,
): Promise<Found> {
  const opened = (because: string, fault = false): Found => ({ way: { way: 'database', because, fault }, api: null })
  if (direct) return opened('--direct')
  if (!operatorToken) return opened(`${from} has no operator token (OPERATOR_TOKEN, or operatorToken in --config)`)
  if (!url) return opened(`${from} has no address of it (${name.toUpperCase()}_URL, or its url in --config)`)
  const api = operatorApi(name, url, operatorToken)
  try {
    const { service } = await api.call<{ service?: string }>('GET', '/access', { deadlineMs: PROBE_MS })
    if (service === name) return { way: { way: 'operator API', url }, api }
    throw new UsageError(`${url} is the service ${service}, and not ${name}: correct its address in ${from}.`)
  } catch (error) {
    if (error instanceof ServiceSilent) return opened(`${url} does not answer (${error.reason})`, true)
    if (!(error instanceof ApiError)) throw error
    const { statusCode, code } = error
    if (statusCode === 401) throw refused(name, url, from)
    if (statusCode === 403) throw error
    if (statusCode === 404) return opened(`${url} has no operator API of this release`, true)
    return opened(`${url} answers ${statusCode}${code ? ` ${code}` : ''}`, true)
  }
}

const refused = (name: string, url: string, from: string): ApiError =>
  new ApiError(
    `${name} at ${url} refuses the operator token of ${from}: give one of that service’s OPERATOR_TOKEN (operatorToken in --config), or --direct to open its database instead.`,
    401,
    'UNAUTHENTICATED',
  )

/** Why a database was opened that cannot be opened either: now nothing is known of that service. */
function withReason(error: unknown, ways: Ways): unknown {
  const reasons = Object.entries(ways).flatMap(([name, one]) =>
    one.way === 'database' && one.fault ? [`${name}: ${one.because}`] : [],
  )
  const unreachable = (error as { code?: unknown }).code === 'CENTRAL_DATABASE_UNAVAILABLE'
  if (error instanceof Error && unreachable && reasons.length > 0)
    error.message += ` Its operator API was asked before: ${reasons.join('; ')}.`
  return error
}
