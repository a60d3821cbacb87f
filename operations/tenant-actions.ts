// What the command does to single tenants: through identity's operator API, whose audit rows have the operator's name, or with the
// admin token through /api/tenants, whose rows say `admin`. Both are the same service: where it does not answer, neither is tried.
import { ApiError, identityApi, type TenantView } from './identity-api.js'
import type { OperatorApi } from './operator-api.js'
import { UsageError } from './outcome.js'
import type { Targets } from './targets.js'
import { type Way, wayTo } from './ways.js'

export interface NewTenant {
  readonly name: string
  readonly id?: string | undefined
  readonly domain?: string | undefined
  readonly settings?: object | undefined
  readonly lifecycle?: 'suspended' | undefined
  readonly incarnation?: string | undefined
}

export interface TenantActions {
  /** By id. Without `lifecycle` all that are not deleted. */
  list(lifecycle?: string): Promise<TenantView[]>
  show(id: string): Promise<TenantView>
  /** @param headers `prefer` and `idempotency-key` */
  create(tenant: NewTenant, headers: Readonly<Record<string, string>>): Promise<TenantView>
  change(verb: 'suspend' | 'activate' | 'retry', id: string): Promise<TenantView>
  remove(id: string): Promise<void>
}

export type TenantWay =
  | Extract<Way, { way: 'operator API' }>
  | { readonly way: 'admin token'; readonly because: string; readonly fault: boolean }

export interface FoundActions {
  readonly actions: TenantActions
  readonly way: TenantWay
}

/** @throws UsageError without an address or any token; Error when identity does not answer */
export async function tenantActions(targets: Targets, direct: boolean): Promise<FoundActions> {
  const { identityUrl: url, adminToken, operatorToken, from } = targets
  if (url && !adminToken && !operatorToken)
    throw new UsageError(
      `${from} has no token for identity: set OPERATOR_TOKEN or ADMIN_TOKEN, or operatorToken or adminToken in --config.`,
    )
  const { way, api } = await wayTo({ name: 'identity', url }, targets, direct)
  if (api) return { actions: byOperatorApi(api), way: { way: 'operator API', url: api.url } }
  const { because, fault } = way as Extract<Way, { way: 'database' }>
  if (fault && !adminToken)
    throw new Error(`identity cannot be asked: ${because}. Check that it runs, and its address.`)
  return { actions: byAdminToken(targets), way: { way: 'admin token', because, fault } }
}

const PAGE = 200
const inPath = encodeURIComponent

function byOperatorApi(api: OperatorApi): TenantActions {
  return {
    async list(lifecycle) {
      const found = new Map<string, TenantView>()
      for (let after = ''; ; ) {
        const query = new URLSearchParams({ limit: String(PAGE), after, ...(lifecycle && { lifecycle }) })
        const { items } = await api.call<{ items: TenantView[] }>('GET', `/fleet?${query}`)
        for (const one of items) found.set(one.id, one)
        const last = items.at(-1)
        if (!last || items.length < PAGE) return [...found.values()]
        after = last.id
      }
    },
    async show(id) {
      const found = await api.call<TenantView>('GET', `/fleet/${inPath(id)}`)
      if (found.lifecycle !== 'deleted') return found
      // As by the admin token: a script that asks whether a tenant is there gets one answer.
      const text = `${id} is deleted: \`distributed-tenant list --lifecycle deleted\` lists it.`
      throw new ApiError(text, 404, 'TENANT_NOT_FOUND')
    },
    create: (body, headers) => api.call('POST', '/fleet', { body, headers }),
    change: (verb, id) => api.call('POST', `/fleet/${inPath(id)}/${verb}`),
    remove: async id => {
      await api.call('POST', `/fleet/${inPath(id)}/remove`, { body: { confirm: id } })
    },
  }
}

function byAdminToken(targets: Targets): TenantActions {
  const api = identityApi(targets)
  const path = (id: string): string => `/api/tenants/${inPath(id)}`
  return {
    async list(lifecycle) {
      const found: TenantView[] = []
      for await (const tenant of api.tenants(lifecycle)) found.push(tenant)
      return found
    },
    show: id => api.call('GET', path(id)),
    create: (body, headers) => api.call('POST', '/api/tenants', { body, headers: { ...headers } }),
    change: (verb, id) => api.call('POST', `${path(id)}/${verb}`),
    remove: id => api.call('DELETE', path(id)),
  }
}
