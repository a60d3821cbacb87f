// Every name that crosses the stream: stream, subjects, filters, durables and message ids.
// Invariant: lifecycle subjects have two tokens and status subjects three, so `tenant.*` and `tenant.*.*` never overlap
// (nats-server 2.9 takes only one filter subject per consumer). Depends on nothing.

/** The one stream. Only identity creates or alters it. */
export const STREAM = 'TENANTS'
export const STREAM_SUBJECTS = ['tenant.>']
/** Consumer filter for lifecycle events alone. */
export const LIFECYCLE_FILTER = 'tenant.*'
/** Consumer filter for status events alone. */
export const STATUS_FILTER = 'tenant.*.*'

/** The filter of each kind of durable. */
export const DURABLE_FILTERS = { tenants: LIFECYCLE_FILTER, ledger: STATUS_FILTER } as const

export const LIFECYCLE_KINDS = ['created', 'updated', 'suspended', 'activated', 'deleted'] as const
export const STATUS_KINDS = ['ready', 'failed', 'removed'] as const
export type LifecycleKind = (typeof LIFECYCLE_KINDS)[number]
export type StatusKind = (typeof STATUS_KINDS)[number]

/** A service's short name, the database suffix: `identity`, never `identity-service`. */
export const SERVICE_PATTERN = '^[a-z][a-z0-9]{0,14}$'
const servicePattern = new RegExp(SERVICE_PATTERN)

export type Subject =
  | { readonly type: 'lifecycle'; readonly kind: LifecycleKind }
  | { readonly type: 'status'; readonly kind: StatusKind; readonly service: string }
  | { readonly type: 'dead'; readonly service: string }

/** Throws a TypeError for anything but a service's short name: a `.` or `*` in it would change the subject. */
function serviceToken(service: string): string {
  if (!servicePattern.test(service)) throw new TypeError(`service must match ${SERVICE_PATTERN}`)
  return service
}

export const lifecycleSubject = (kind: LifecycleKind): string => `tenant.${kind}`
export const statusSubject = (kind: StatusKind, service: string): string => `tenant.${kind}.${serviceToken(service)}`
export const deadSubject = (service: string): string => `dead.tenant.${serviceToken(service)}`
/** The durable through which all replicas of a service share the lifecycle events. */
export const tenantsDurable = (service: string): string => `tenants-${serviceToken(service)}`
/** The durable through which identity reads every service's status events. */
export const ledgerDurable = (service: string): string => `ledger-${serviceToken(service)}`

/** Where a service asks identity to make its consumer, or to correct its settings. Outside the stream. */
export const consumerRequestSubject = (service: string): string => `ensure.consumer.${serviceToken(service)}`
/** All of them: `*` stands for the service. */
export const CONSUMER_REQUESTS = 'ensure.consumer.*'

/** The inbox of a service. Under the usual `_INBOX`, so that a NATS user made for any client will do. */
export const inboxOf = (service: string): string => `_INBOX.${serviceToken(service)}`

function isOneOf<T extends string>(list: readonly T[], value: string | undefined): value is T {
  return value !== undefined && (list as readonly string[]).includes(value)
}

/** Whether a name is a service's short name. */
export const isServiceName = (name: string): boolean => servicePattern.test(name)

/** Reads a concrete subject; null for any other, wildcards and unknown kinds included. */
export function parseSubject(subject: string): Subject | null {
  if (subject.length > 64) return null
  const [head, second, third, ...rest] = subject.split('.')
  if (rest.length > 0) return null
  if (head === 'dead') {
    return second === 'tenant' && third !== undefined && servicePattern.test(third)
      ? { type: 'dead', service: third }
      : null
  }
  if (head !== 'tenant') return null
  if (third === undefined) return isOneOf(LIFECYCLE_KINDS, second) ? { type: 'lifecycle', kind: second } : null
  return isOneOf(STATUS_KINDS, second) && servicePattern.test(third)
    ? { type: 'status', kind: second, service: third }
    : null
}

/**
 * `Nats-Msg-Id` of a lifecycle event: `tenant.<kind>:<id>:<version>`. The server drops a repeat within two minutes,
 * so a deliberate repeat of one version (an operator's retry) needs an id of its own: pass `again`.
 */
export function messageId(kind: LifecycleKind, id: string, version: number, again?: string | number): string {
  return join(lifecycleSubject(kind), id, version, again)
}

/** `Nats-Msg-Id` of a status event. One version may fail many times: `again` (attempt or outbox id) makes each unique. */
export function statusMessageId(
  kind: StatusKind,
  service: string,
  id: string,
  version: number,
  again?: string | number,
): string {
  return join(statusSubject(kind, service), id, version, again)
}

function join(subject: string, id: string, version: number, again: string | number | undefined): string {
  return again === undefined ? `${subject}:${id}:${version}` : `${subject}:${id}:${version}:${again}`
}
