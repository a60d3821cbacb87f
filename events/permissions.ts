// Owns who may say and hear what on NATS, one list from which deploy/nats.conf and the stack's server are made.
// Invariants: nobody is anonymous; only identity speaks of lifecycles and makes the stream, and nobody deletes or purges
// it; a service speaks for itself, reads through its own durable, and hears no one else's answers (an inbox of its own).
import {
  DURABLE_FILTERS,
  deadSubject,
  inboxOf,
  LIFECYCLE_KINDS,
  ledgerDurable,
  lifecycleSubject,
  STATUS_KINDS,
  STREAM,
  statusSubject,
  tenantsDurable,
} from './subjects.js'

export interface NatsUser {
  readonly name: string
  readonly publish: readonly string[]
  /** Empty: may hear nothing. */
  readonly subscribe: readonly string[]
}

/** What a consumer loop asks of JetStream about one durable (nats 2.29 with a server of 2.9 or later). */
const durableRights = (durable: string, filter: string): string[] => [
  `$JS.API.CONSUMER.INFO.${STREAM}.${durable}`,
  `$JS.API.CONSUMER.CREATE.${STREAM}.${durable}.${filter}`,
  `$JS.API.CONSUMER.DELETE.${STREAM}.${durable}`,
  `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${durable}`,
  `$JS.ACK.${STREAM}.${durable}.>`,
]

/** A service that provisions. `source`: it is where tenants are made. */
export function serviceUser(service: string, source = false): NatsUser {
  return {
    name: service,
    publish: [
      ...(source ? LIFECYCLE_KINDS.map(lifecycleSubject) : []),
      ...STATUS_KINDS.map(kind => statusSubject(kind, service)),
      deadSubject(service),
      `$JS.API.STREAM.INFO.${STREAM}`,
      ...(source ? [`$JS.API.STREAM.CREATE.${STREAM}`, `$JS.API.STREAM.UPDATE.${STREAM}`] : []),
      ...durableRights(tenantsDurable(service), DURABLE_FILTERS.tenants),
      ...(source ? durableRights(ledgerDurable(service), DURABLE_FILTERS.ledger) : []),
    ],
    subscribe: [`${inboxOf(service)}.>`],
  }
}

/** A person or a program that asks for tenants by a bare event, and does nothing else. */
export const operatorUser: NatsUser = { name: 'operator', publish: [lifecycleSubject('created')], subscribe: [] }

/** The operator first, then the services; `identity` is the source. */
export const natsUsers = (services: readonly string[]): NatsUser[] => [
  operatorUser,
  ...services.map(service => serviceUser(service, service === 'identity')),
]
