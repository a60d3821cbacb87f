// The audit plugin: subscribed steps become rows of the log in the central database and, if configured, lines of a log stream;
// old months are dropped.
// If the central database is down or slow: requests of tenants go on and the gap becomes a row; routes with `config.audit: 'admin'`
// are refused, so that every administrative call has its row.
import { createError } from '@fastify/error'
import type { FastifyInstance, FastifyReply, FastifyRequest, onResponseHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { every } from '../../timing/timers.js'
import { checkPluginOptions, endWithSocket, separateTypes, subscribe } from '../distributed-tenant/index.js'
import { sign } from './month-seals.js'
import { createRepeats } from './repeats.js'
import type { AuditRecord } from './rows.js'
import { dropExpired, ensurePartitions, sealMonths, switchOn } from './store.js'
import { isAnonymous, recordOf } from './subscriber.js'
import { type AuditStatus, createWriter } from './writer.js'

declare module 'fastify' {
  interface FastifyInstance {
    audit: Audit
  }
  interface FastifyContextConfig {
    /** `admin`: every call of this route is a row, and none is served while rows cannot be written. */
    audit?: 'admin'
  }
}

export interface Audit {
  /** Writes a row of the caller's, or counts it: one of kind `refused` without an actor. Never throws and never waits. */
  record(record: AuditRecord): void
  status(): AuditStatus
}

export interface AuditOptions {
  /** Share of accesses that become rows, 0 to 1. Refusals and everything else always do. Default 1. */
  sample?: number
  /** Months kept beside the current one. Default 13. */
  retentionMonths?: number
  /** Signs the heads of closed months. Without it they are logged unsigned. */
  secret?: string | undefined
  /** Writes every row to the log too, at level `info`. Default false. */
  stream?: boolean
  /** The actor of a request, once verified; null before that and without one. Default: rows have no actor. */
  actor?: (request: FastifyRequest) => string | null
}

export const AuditUnavailable = createError(
  'AUDIT_UNAVAILABLE',
  'An administrative call needs an audit row, and none can be written now: see the audit part of the log, then try again.',
  503,
)

/** How often months are sealed and dropped. */
const KEEP_MS = 3_600_000
const CLOSE_MS = 3_000

const checkGiven = checkPluginOptions<AuditOptions>('audit', {
  sample: 'number',
  retentionMonths: 'number',
  secret: 'string',
  stream: 'boolean',
  actor: 'function',
})

async function auditPlugin(app: FastifyInstance, options: AuditOptions): Promise<void> {
  checkGiven(options)
  const { sample = 1, retentionMonths = 13, secret, stream = false, actor = () => null } = options
  // An ORM of the application's on the central database may have parsers and serializers of its own.
  const central = separateTypes(app.central)
  const { service } = app.tenants.connectionInfo()
  const log = app.log.child({ audit: true })
  const writer = createWriter({
    central,
    onRow: stream ? row => log.info({ row }, 'audit') : undefined,
    report: ({ type, count, error }) => {
      if (type === 'write_failed')
        log.warn({ err: error, waiting: count }, 'audit rows cannot be written now and are kept in memory')
      if (type === 'gap') log.error({ missed: count }, 'audit rows were left out: the buffer was full')
    },
  })

  async function keepMonths(): Promise<void> {
    const now = new Date()
    await ensurePartitions(central, now)
    const heads = await sealMonths(central, now)
    // The log stream keeps the heads outside the database.
    if (heads.length > 0) log.info({ seal: sign(service, heads, secret) }, 'audit month sealed')
    const dropped = await dropExpired(central, now, retentionMonths)
    if (dropped.length > 0) log.info({ dropped }, 'audit months dropped')
  }

  const repeats = createRepeats({
    write: record => writer.record(record, true),
    onError: error => log.error({ err: error }, 'the counts of anonymous requests could not be stored'),
  })
  const record = (record: AuditRecord): void => (isAnonymous(record) ? repeats.add(record) : writer.record(record))

  await keepMonths()
  await switchOn(central)
  const stopKeeping = every(KEEP_MS, keepMonths, error =>
    log.error({ err: error }, 'audit months could not be sealed or dropped'),
  )
  const silence = subscribe(
    step => {
      const made = recordOf(step, { sample, actor })
      if (made) record(made)
    },
    app.tenants.origin,
    ['access', 'connection'],
  )
  /** Admin calls whose row is written. */
  const recorded = new WeakSet<FastifyRequest>()
  const off = app.notifications.subscribe('fdt_tenants', writer.changesWait, writer.changesWait)

  app.decorate('audit', { record, status: writer.status })
  const called = (request: FastifyRequest, reply: FastifyReply): void => {
    if (recorded.has(request)) return
    recorded.add(request)
    const call = adminCall(request, reply, actor)
    if (isRefusedUnnamed(call, options.actor !== undefined)) repeats.add(call)
    else writer.record(call)
  }
  // By callback: most routes are not administrative and wait for nothing.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.audit !== 'admin') return done()
    if (!writer.status().accepting) return done(new AuditUnavailable())
    // `onResponse` does not fire for a client that disconnects first, although its call may have taken effect.
    const left = (): void => called(request, reply)
    if (reply.raw.destroyed || request.raw.destroyed) left()
    else if (!endWithSocket(reply.raw, left)) reply.raw.once('close', left)
    done()
  })
  // Only on those routes: a hook of every response costs every response. The response of a route that was registered before
  // this plugin has its row when it closes.
  app.addHook('onRoute', route => {
    if (route.config?.audit !== 'admin') return
    const record: onResponseHookHandler = (request, reply, done) => {
      called(request, reply)
      done()
    }
    route.onResponse = [...[route.onResponse ?? []].flat(), record]
  })
  app.addHook('onClose', async () => {
    stopKeeping()
    silence()
    off()
    repeats.flush()
    await writer.close(CLOSE_MS)
  })
}

function adminCall(
  request: FastifyRequest,
  reply: FastifyReply,
  actor: (request: FastifyRequest) => string | null,
): AuditRecord {
  // `id` is the tenant; a parameter of another name says what else the call was about.
  const { id, ...about } = (request.params ?? {}) as Record<string, string>
  const status = reply.raw.headersSent ? reply.statusCode : null
  return {
    kind: 'admin',
    result: status === null ? 'UNANSWERED' : status < 400 ? 'ok' : String(status),
    tenantId: id ?? null,
    // A 401 has no actor.
    actor: status === 401 ? null : actor(request),
    requestId: request.id,
    detail: { method: request.method, route: request.routeOptions.url, ...about, status, address: request.ip },
  }
}

/** Without `actor` no call has an actor: then only a refusal before authentication counts as one that any client can cause. */
function isRefusedUnnamed({ actor, result }: AuditRecord, named: boolean): boolean {
  if (actor !== null || result === 'ok') return false
  return named || result === '401' || result === '429'
}

export const audit = fp<AuditOptions>(auditPlugin, {
  name: 'fastify-distributed-tenant-audit',
  fastify: '5.x',
  dependencies: ['fastify-distributed-tenant'],
})
export default audit
export { isGenuine, type Seal, sign } from './month-seals.js'
export type { AuditRecord, AuditRow } from './rows.js'
export type { Head } from './store.js'
export type { AuditStatus } from './writer.js'
