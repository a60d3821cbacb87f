// Shared by service tests: whole services as they are composed for production, on real servers, without a port.
// Times are short, so that a part that is down is noticed while the test runs. Apps close before their servers do.
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { readEnvironment } from '../../plugins/distributed-tenant/config/environment.js'
import type { DistributedTenantOptions } from '../../plugins/distributed-tenant/index.js'
import { buildCore } from '../../services/core/app.js'
import type { ServiceOptions } from '../../services/create-service.js'
import { buildEmployee } from '../../services/employee/app.js'
import { buildIdentity, type IdentityOptions } from '../../services/identity/app.js'
import { type Rig, rig } from '../rig.js'

export const adminToken = 'a-token-of-the-tests'
export const asAdmin = { authorization: `Bearer ${adminToken}` }

const builders = {
  identity: (options: ServiceOptions & IdentityOptions) => buildIdentity({ adminToken, ...options }),
  employee: buildEmployee,
  core: buildCore,
}
export type ServiceName = keyof typeof builders

export interface ServiceRig extends Rig {
  /** A service as composed for production. Without Redis and NATS unless asked for. */
  service(name: ServiceName, tenancy?: DistributedTenantOptions, options?: IdentityOptions): Promise<FastifyInstance>
}

export async function serviceRig(t: Pick<Test, 'teardown'>, services: readonly ServiceName[]): Promise<ServiceRig> {
  const made = await rig(t, services)
  return {
    ...made,
    async service(name, tenancy = {}, options = {}) {
      const app = await builders[name]({
        logger: process.env.TEST_LOG ? { level: process.env.TEST_LOG } : false,
        ...options,
        // A busy machine is not under test.
        environment: { ...(options.environment ?? readEnvironment({})), MAX_EVENT_LOOP_DELAY: 0 },
        tenancy: { database: made.database(name), nats: null, redis: null, spares: 0, ...tenancy },
      })
      t.teardown(() => app.close())
      await app.ready()
      return app
    },
  }
}

export type Call = (
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  url: string,
  payload?: object,
) => Promise<LightMyRequestResponse>

/** Calls on behalf of one tenant. */
export function as(app: FastifyInstance, tenant: string): Call {
  return (method, url, payload) => {
    const request: InjectOptions = { method, url, headers: { 'hrms-client-id': tenant } }
    return app.inject(payload === undefined ? request : { ...request, payload })
  }
}

/** Calls as the operator. */
export function admin(app: FastifyInstance, headers: Record<string, string> = {}): Call {
  return (method, url, payload) => {
    const request: InjectOptions = { method, url, headers: { ...asAdmin, ...headers } }
    return app.inject(payload === undefined ? request : { ...request, payload })
  }
}

/** An id that fits the schema and belongs to nothing. */
export const nowhere = '00000000-0000-4000-8000-000000000000'

/** Walks all pages of a list. */
export async function pages(call: Call, url: string, limit: number): Promise<Record<string, unknown>[][]> {
  const found: Record<string, unknown>[][] = []
  let after: string | null = null
  do {
    const query = new URLSearchParams({ limit: String(limit), ...(after ? { after } : {}) })
    const { items, next } = (await call('GET', `${url}?${query}`)).json()
    found.push(items)
    after = next
  } while (after !== null)
  return found
}
