// Owns whose work runs right now, for libraries that are made once for all tenants and are given no request. Off until it is
// asked for, and then it costs each request two hooks. Invariant: what runs outside of any tenant's work is refused, and never
// finds the tenant of another.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TenantContextMissing } from '../errors.js'
import type { SqlClient } from '../types.js'

/** A request, or what `tenants.run` hands over. */
interface Work {
  readonly sql: SqlClient
}

export interface Following {
  /** From now on it is remembered. @returns the client of the tenant at hand; it throws where there is none */
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
    within: (work, fn) => (storage ? storage.run(work, fn) : fn()),
  }
}
