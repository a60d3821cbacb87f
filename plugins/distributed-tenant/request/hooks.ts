// The hooks of a request: `onRequest` identifies the tenant, looks it up and authorises; `onResponse` releases the client, which
// is made when a handler first touches it. Nothing here takes a connection: a query does.
// Invariant: a client is released once, whatever ends the request: `onResponse` comes first in the ordinary endings, `reply.raw`
// 'close' in all others (23 of 23, docs/decisions/0012), and a request that waits in a pipeline ends with its socket. No query
// that begins after the response is finished reaches the wire. A route with `tenant: false` has neither hook nor listener.

import type { FastifyInstance, FastifyReply, FastifyRequest, onResponseHookHandler } from 'fastify'
import type { Admit, ClientScope } from '../../../postgres/sql/client.js'
import type { Identifier } from '../config/options.js'
import type { Settings } from '../config/settings.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { Directory } from '../directory/directory.js'
import type { DirectoryEntry } from '../directory/redis-cache.js'
import {
  TenantClientReleased,
  TenantContextMissing,
  TenantDisabled,
  TenantForbidden,
  TenantRequired,
} from '../errors.js'
import type { SqlClient, Tenant, TenantId, TenantPolicy } from '../types.js'
import { admitting, refuseUnlessReady, tenantOf } from './admission.js'
import { endWithSocket } from './http-pipelining.js'
import { type Identification, identifyTenant } from './identify.js'
import { addRoutePolicy, ownIdentifiers } from './route-policy.js'

export interface RequestParts {
  readonly settings: Pick<Settings, 'header' | 'enabled' | 'authorizeTenant'>
  readonly directory: Omit<Directory, 'close'>
  readonly identifiers: readonly Identifier[]
  /** The oldest schema of a tenant that is served; 0 for any. */
  readonly oldestSchema: number
  readonly clientFor: (id: TenantId, admit: Admit) => Pick<ClientScope, 'sql' | 'release' | 'leases'>
  readonly publish: PublishStep
}

/** The state of a request, unless its route wants no tenant. */
interface Slot extends Identification {
  /** The tenant it names, admitted or not. */
  named: TenantId | null
  tenant: Tenant | null
  client: ReturnType<RequestParts['clientFor']> | null
  over: boolean
  /** Null once the request is over: a client that waits for its deadline would keep it alive (a quarter of the CPU of a lookup). */
  response: FastifyReply['raw'] | null
  /** Publishes the end; null once it was published, and for requests without a subscriber. */
  ended: ((slot: Slot) => void) | null
  /** For one behind another in a pipeline: stops waiting for its socket's end. */
  unwait: (() => void) | null
}

const kSlot = Symbol('distributed-tenant.slot')

type Carrier = { [kSlot]?: Slot }

/** The tenant a request was admitted for; null before that, and for one without. */
export const admittedTenant = (request: FastifyRequest): Tenant | null => (request as Carrier)[kSlot]?.tenant ?? null

type Authorize = NonNullable<Settings['authorizeTenant']>

function authorize(allows: Authorize, request: FastifyRequest, slot: Slot, tenant: Tenant): void | Promise<void> {
  const allowed = allows(request, tenant)
  if (allowed instanceof Promise) return allowed.then(late => decide(late, slot, tenant))
  decide(allowed, slot, tenant)
}

function decide(allowed: boolean, slot: Slot, tenant: Tenant): void {
  if (allowed !== true) throw new TenantForbidden()
  slot.tenant = tenant
}

export function addRequestHooks(fastify: FastifyInstance, parts: RequestParts): void {
  const { settings, directory, identifiers, oldestSchema, clientFor, publish } = parts
  const vary = `Host, ${settings.header}, Authorization`

  function slotOf(request: FastifyRequest): Slot & { tenant: Tenant } {
    const slot = (request as Carrier)[kSlot]
    if (!slot) throw new TenantContextMissing()
    if (!slot.tenant) throw new TenantRequired(settings.header)
    return slot as Slot & { tenant: Tenant }
  }

  /** Other `onResponse` hooks may run before ours: they come after the response all the same. */
  function unlessFinished(slot: Slot, id: TenantId): Admit {
    const admit = admitting(id, directory, oldestSchema)
    return () => {
      if (slot.response?.writableFinished) throw new TenantClientReleased()
      return admit()
    }
  }

  function sqlOf(request: FastifyRequest): SqlClient {
    const slot = slotOf(request)
    if (!slot.client) {
      slot.client = clientFor(slot.tenant.id, unlessFinished(slot, slot.tenant.id))
      if (publish.hasSubscribers('access')) slot.ended = over => publishUsed(request, over)
      // The request may be over already, while its handler still runs.
      if (slot.over) slot.client.release()
    }
    return slot.client.sql
  }

  fastify.decorateRequest('tenant', {
    getter(this: FastifyRequest) {
      return slotOf(this).tenant
    },
  })
  fastify.decorateRequest('tenantId', {
    getter(this: FastifyRequest) {
      return slotOf(this).tenant.id
    },
  })
  fastify.decorateRequest('sql', {
    getter(this: FastifyRequest) {
      return sqlOf(this)
    },
  })

  addRoutePolicy(fastify, {
    release: releaseClient,
    warn: message => publish({ area: 'start', event: { type: 'warning', message } }),
  })

  // By callback: a route without a tenant then waits for nothing.
  fastify.addHook('onRequest', (request, reply, done) => {
    if (request.is404) return done()
    // Once, as every read of `routeOptions` makes a new object.
    const { tenant: policy, identifyBy } = request.routeOptions.config
    if (policy === false) return done()
    const slot: Slot = {
      claimed: null,
      verified: null,
      named: null,
      tenant: null,
      client: null,
      over: false,
      response: reply.raw,
      ended: null,
      unwait: null,
    }
    ;(request as Carrier)[kSlot] = slot
    keepPrivate(reply, vary)
    releaseAtTheEnd(slot, reply)
    let admitted: void | Promise<void>
    try {
      admitted = admit(request, reply, slot, policy, ownIdentifiers(identifyBy) ?? identifiers)
    } catch (error) {
      return refuse(error as Error)
    }
    // Without a promise where nothing is awaited: each promise here is one more of every request.
    if (admitted instanceof Promise) admitted.then(() => done(), refuse)
    else done()

    function refuse(error: Error): void {
      if (!(error instanceof TenantRequired)) publishRefused(request, slot, error)
      done(error)
    }
  })

  function publishUsed(request: FastifyRequest, { client, tenant }: Slot): void {
    const leases = client?.leases ?? 0
    if (leases > 0 && tenant) publish({ area: 'access', event: { type: 'used', request, tenant: tenant.id, leases } })
  }

  /** A tenant that it claimed against its own token is the one it tried to reach. */
  function publishRefused(request: FastifyRequest, { named, claimed, verified }: Slot, error: unknown): void {
    if (!publish.hasSubscribers('access')) return
    const tenant = named ?? claimed ?? verified
    publish({ area: 'access', event: { type: 'refused', request, error, tenant, holds: verified } })
  }

  function admit(
    request: FastifyRequest,
    reply: FastifyReply,
    slot: Slot,
    policy: TenantPolicy | undefined,
    sources: readonly Identifier[],
  ): void | Promise<void> {
    const id = identifyTenant(request, sources, directory.findDomain, slot)
    return id instanceof Promise
      ? id.then(late => identified(request, reply, slot, policy, late))
      : identified(request, reply, slot, policy, id)
  }

  function identified(
    request: FastifyRequest,
    reply: FastifyReply,
    slot: Slot,
    policy: TenantPolicy | undefined,
    id: TenantId | null,
  ): void | Promise<void> {
    if (id === null) {
      // Also for a policy that is neither, on a route that was there before the plugin: the safe side of a misspelt one.
      if (policy !== undefined) throw new TenantRequired(settings.header)
      return
    }
    slot.named = id
    // From here on every line of this request has its tenant. Fastify writes its own through the reply's.
    request.log = reply.log = request.log.child({ tenant: id })
    if (!settings.enabled) throw new TenantDisabled()
    const entry = directory.find(id)
    return entry instanceof Promise ? entry.then(late => found(request, slot, late)) : found(request, slot, entry)
  }

  function found(request: FastifyRequest, slot: Slot, entry: DirectoryEntry | null): void | Promise<void> {
    refuseUnlessReady(entry, oldestSchema)
    const tenant = tenantOf(entry)
    if (settings.authorizeTenant) return authorize(settings.authorizeTenant, request, slot, tenant)
    slot.tenant = tenant
  }
}

/** One address, many tenants: no cache between server and client may take one's answer for another's. */
function keepPrivate(reply: FastifyReply, vary: string): void {
  reply.header('cache-control', 'private, no-store').header('vary', vary)
}

function releaseAtTheEnd(slot: Slot, reply: FastifyReply): void {
  const { raw } = reply
  // A hook before ours may have taken its time: a response that has closed already emits no event again.
  if (raw.closed || raw.destroyed || reply.request.raw.destroyed) {
    end(slot)
    return
  }
  // Not `once`, which makes two closures for every request; a second end has no effect.
  ;(raw as Carrier)[kSlot] = slot
  raw.on('close', endOfResponse)
  if (raw.socket === null) slot.unwait = endWithSocket(raw, () => end(slot))
}

/** The hook that `onRoute` adds to routes with a tenant. */
const releaseClient: onResponseHookHandler = (request, _reply, done) => {
  end((request as Carrier)[kSlot])
  done()
}

function endOfResponse(this: Carrier): void {
  end(this[kSlot])
}

function end(slot: Slot | undefined): void {
  if (!slot || slot.over) return
  slot.over = true
  slot.response = null
  slot.unwait?.()
  slot.client?.release()
  slot.ended?.(slot)
}
