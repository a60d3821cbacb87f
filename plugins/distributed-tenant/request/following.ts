// The tenant of the running code, for libraries that are made once for all tenants and get no request. Off until `follow` is
// called, and then it costs each request two hooks. Invariant: code outside of any tenant's work is refused, and never gets the
// client of a tenant.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TenantContextMissing } from '../errors.js'
import type { SqlClient } from '../types.js'

/** A request, or the argument of the function in `tenants.run`. */
interface Work {
  readonly sql: SqlClient
}

export interface Following {
  /** Begins to follow. @returns a function that returns the client of the running code's tenant, or throws without one */
  follow(): () => SqlClient
  /** Runs `fn` as a tenant's work. */
  within<T>(work: Work, fn: () => T): T
}

export function createFollowing(fastify: FastifyInstance): Following {
  let storage: AsyncLocalStorage<Work> | null = null

  function begin(): AsyncLocalStorage<Work> {
    const started = new AsyncLocalStorage<Work>()
    const enter = (request: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
      if (started.getStore() === request) done()
      else started.run(request, done)
    }
    fastify.addHook('onRequest', enter)
    // A body is read by events of its socket, which run in a context of their own.
    fastify.addHook('preValidation', enter)
    return started
  }

  return {
    follow() {
      storage ??= begin()
      const following = storage
      return () => {
        const work = following.getStore()
        if (!work) throw new TenantContextMissing()
        return work.sql
      }
    },
    within: (work, fn) => (storage ? storage.run(work, () => started(fn())) : fn()),
  }
}

/** What is lazy, as the queries of ORMs are, begins when `then` is called: now. */
function started<T>(result: T): T {
  if (typeof (result as { then?: unknown } | null)?.then !== 'function') return result
  const lazy = result as PromiseLike<unknown>
  return new Promise((resolve, reject) => lazy.then(resolve, reject)) as T
}
