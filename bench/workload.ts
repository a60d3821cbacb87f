// The requests of the load: route, one of the thousand items, tenant. Each turn begins at another
// place of the sequence, and each arm sees the same one in the same round.
import { tenantHeader } from './arm.js'
import { chooser, type Distribution, random } from './distribution.js'
import { request } from './load.js'

export type Route = 'one read' | 'transaction'
export const routes: readonly Route[] = ['one read', 'transaction']

const paths: Readonly<Record<Route, string>> = { 'one read': '/read/', transaction: '/transaction/' }

export interface Workload {
  readonly tenants: number
  readonly distribution: Distribution
  readonly route: Route
}

/** As tools know it: `100 tenants zipf, one read`. */
export const nameOf = ({ tenants, distribution, route }: Workload): string =>
  `${tenants} tenants ${distribution}, ${route}`

/** `tokens`: one for each of the names, where the arm wants one. */
export function requests(
  { tenants, distribution, route }: Workload,
  names: readonly string[],
  seed: number,
  tokens: readonly string[] = [],
) {
  const choose = chooser(distribution, tenants, seed)
  const next = random(seed + 1)
  return (): string => {
    const path = paths[route] + (1 + Math.floor(next() * 1000))
    const at = choose()
    return request(path, tenantHeader, names[at] as string, tokens[at])
  }
}
