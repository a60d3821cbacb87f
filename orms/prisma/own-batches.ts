// Owns which of Prisma's look-ups become one statement, and where that runs. Prisma joins every `findUnique` of one turn of the
// loop into one, and sends all that it has gathered in the context of the first: with one client for all tenants that would be
// one tenant's statement with another's keys. Invariant: only what is asked in one tenant's request, or one `tenants.run`, is
// joined, and it is sent in that context.
import { AsyncResource } from 'node:async_hooks'
import type { SqlClient } from '../../plugins/distributed-tenant/index.js'

/** What is relied on inside Prisma's client, beyond its documented surface; `partsOf` proves that it is there. */
export interface RequestHandler {
  readonly dataloader: {
    readonly options: {
      /** The key of what may be joined; undefined for what is sent at once. */
      batchBy(request: object): string | undefined
      singleLoader(request: object): Promise<unknown>
      batchLoader(requests: object[]): Promise<unknown>
    }
  }
  handleAndLogRequestError(failed: { readonly error: unknown }): never
}

/** Null when they are not as they are known. */
export function partsOf(client: object): RequestHandler | null {
  const handler = (client as { _requestHandler?: Partial<RequestHandler> })._requestHandler
  const options = handler?.dataloader?.options
  const known =
    typeof handler?.handleAndLogRequestError === 'function' &&
    typeof options?.batchBy === 'function' &&
    typeof options.singleLoader === 'function' &&
    typeof options.batchLoader === 'function'
  return known ? (handler as RequestHandler) : null
}

/** @param current the client of the tenant at hand; it throws where there is none */
export function keepApart({ dataloader: { options } }: RequestHandler, current: () => SqlClient): void {
  const { batchBy, singleLoader, batchLoader } = options
  const contexts = new WeakMap<object, AsyncResource>()
  const numbers = new WeakMap<SqlClient, number>()
  let last = 0

  function numberOf(sql: SqlClient): number {
    const number = numbers.get(sql) ?? ++last
    numbers.set(sql, number)
    return number
  }

  const within = <T>(request: object | undefined, load: () => T): T => {
    const context = request && contexts.get(request)
    return context ? context.runInAsyncScope(load) : load()
  }

  options.batchBy = request => {
    const key = batchBy(request)
    if (key === undefined) return undefined
    contexts.set(request, new AsyncResource('PrismaRequest'))
    return `${key}-${numberOf(current())}`
  }
  options.singleLoader = request => within(request, () => singleLoader(request))
  options.batchLoader = requests => within(requests[0], () => batchLoader(requests))
}
