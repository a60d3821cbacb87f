// The route /api/tenants/events, the operator's live view: server-sent events, one for every change of a tenant or of a
// service's status for it, each with the tenant's whole state. A client that reconnects names its place and gets the events
// it missed. Streams hold no database connection, are capped in all and for each token, and end when the service closes or
// the token that opened them is valid no more.

import { createError } from '@fastify/error'
import { fastifySSE } from '@fastify/sse'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '../../../events/json-schema.js'
import type { AuditRecord } from '../../../plugins/audit/index.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/index.js'
import { bearerOf, requireAdmin } from '../../http/admin.js'
import type { AdminTokens } from '../../http/admin-tokens.js'
import { CursorInvalid } from '../../http/paging.js'
import { errors } from '../../http/schemas.js'
import type { Watch } from '../watch.js'

export const TooManyStreams = createError(
  'TOO_MANY_STREAMS',
  'All %s event streams of this process are taken (EVENT_STREAMS): close one, or ask another replica.',
  429,
)

/** The same code: a client does the same about it. */
export const TooManyStreamsOfToken = createError(
  'TOO_MANY_STREAMS',
  'Your token has %s event streams open here, as many as one may (EVENT_STREAMS_PER_TOKEN): close one.',
  429,
)

export interface EventRouteOptions {
  adminTokens: AdminTokens
  watch: Watch
  /** Open streams, in all and of one token. */
  most: number
  mostPerToken: number
}

/** Proxies close a connection that is silent for a minute. */
const HEARTBEAT_MS = 15_000
/** A client this far behind is disconnected: it reconnects with its place. */
const BEHIND_BYTES = 4 * 1024 * 1024
/** The time that a browser waits before it reconnects. */
const RETRY_MS = 2_000
/** Seconds after which a refused client may ask again. */
const FULL_RETRY = 10

export const eventRoutes: FastifyPluginAsyncTypebox<EventRouteOptions> = async (
  app,
  { adminTokens, watch, most, mostPerToken },
) => {
  await app.register(fastifySSE, { heartbeatInterval: HEARTBEAT_MS })
  app.addHook('onRequest', requireAdmin(adminTokens))
  /** Each stream with the token that opened it. */
  const open = new Map<FastifyReply, string>()
  const off = adminTokens.onChange(() => {
    for (const [reply, token] of open) if (!adminTokens.accepts(token)) reply.sse.close()
  })
  app.addHook('preClose', async () => {
    off()
    for (const reply of open.keys()) reply.sse.close()
  })

  /** @throws TOO_MANY_STREAMS */
  function refuseTooMany(token: string, reply: FastifyReply): void {
    const own = [...open.values()].filter(one => one === token).length
    if (open.size < most && own < mostPerToken) return
    reply.header('retry-after', FULL_RETRY)
    throw own < mostPerToken ? new TooManyStreams(most) : new TooManyStreamsOfToken(mostPerToken)
  }

  app.get(
    '',
    {
      config: { tenant: false, audit: 'admin' },
      // Not `only`: its refusal has neither the shape of this API's errors nor a cure.
      sse: 'manual',
      schema: {
        tags: ['tenants'],
        security: [{ admin: [] }],
        summary: 'Stream every change as it happens (text/event-stream)',
        description:
          'Events `tenant`, whose data is the tenant with its ledger. One may come twice. `Last-Event-ID` goes on where a stream ended.',
        querystring: Type.Object(
          { tenant: Type.Optional(Type.String({ maxLength: 1000, description: 'Only this tenant.' })) },
          { additionalProperties: false },
        ),
        response: errors(400, 401, 429),
      },
    },
    async (request, reply) => {
      const { tenant } = request.query
      const only = tenant === undefined ? undefined : parseTenantId(tenant)
      const place = placeOf(reply.sse.lastEventId)
      const token = bearerOf(request) ?? ''
      refuseTooMany(token, reply)
      // A client that has disconnected already causes no `close` any more, and would keep its place for good.
      if (reply.raw.destroyed) return
      open.set(reply, token)
      let leave = (): void => {}
      let over = false
      reply.raw.once('close', () => {
        over = true
        open.delete(reply)
        leave()
      })
      try {
        const left = await watch.join({ only, send: (at, data) => send(reply, at, data) }, place)
        if (over) left()
        else leave = left
      } catch (error) {
        open.delete(reply)
        throw error
      }
      // Its own row is written when it ends, which may be in a week.
      app.audit.record(opened(request))
      // The token may have been revoked while the stream was opened.
      if (adminTokens.accepts(token)) reply.sse.keepAlive()
      else reply.sse.close()
    },
  )
}

const opened = (request: FastifyRequest): AuditRecord => ({
  kind: 'admin',
  result: 'ok',
  actor: 'admin',
  requestId: request.id,
  detail: { method: request.method, route: request.routeOptions.url, stream: 'opened', address: request.ip },
})

async function send({ sse, raw }: FastifyReply, id: string, tenant: object | null): Promise<void> {
  if (!sse.isConnected) return
  if (raw.writableLength > BEHIND_BYTES) {
    raw.destroy()
    return
  }
  // Rejects only when the client is disconnected, which `close` reports too; its backlog is bounded above.
  const message = tenant === null ? { id, retry: RETRY_MS, data: undefined } : { id, event: 'tenant', data: tenant }
  await sse.send(message).catch(() => {})
}

/** @throws CURSOR_INVALID */
function placeOf(lastEventId: string | null): string | null {
  if (lastEventId === null) return null
  if (!/^\d{1,18}$/.test(lastEventId)) throw new CursorInvalid()
  return lastEventId
}
