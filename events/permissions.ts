// The accounts and users of NATS: one list from which deploy/nats.conf and the stack's server are made.
// Invariants: every connection has a user. The stream lives in an account of its own without users; other accounts reach
// only the subjects that they import. The server sends replies and pulled messages into the account that asked, so a reply
// address can name nothing of the stream's API either. A service has no right to make a consumer: a consumer's settings can
// name a delivery subject in the stream's account. Identity makes the consumers on request.
import {
  CONSUMER_REQUESTS,
  consumerRequestSubject,
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
  /** Empty: may subscribe to nothing. */
  readonly subscribe: readonly string[]
  /** May answer each request it receives once, at the address that the request names. */
  readonly answers?: boolean
}

export interface NatsAccount {
  readonly name: string
  readonly jetstream: boolean
  readonly users: readonly NatsUser[]
  /** `several`: one request has many replies, as a pull has. */
  readonly exports: readonly { readonly subject: string; readonly to: readonly string[]; readonly several: boolean }[]
  readonly imports: readonly { readonly subject: string; readonly from: string }[]
}

/** The account that holds the stream. Only the operator of the server may get a user in it: that user may do everything. */
export const STREAM_ACCOUNT = 'EVENTS'
const IDENTITY = 'identity'

/** A subject that a user publishes to, and the account in which it is served. */
interface Right {
  readonly subject: string
  readonly from: string
  readonly several?: boolean
}

/**
 * Imported, and published by no user: without it the server gives an account an import of its own for all of `$JS.API.>`,
 * which answers every request with "JetStream not enabled for account" (nats-server 2.9 to 2.15).
 */
export const JETSTREAM_INFO = '$JS.API.INFO'

const ofStream = (subject: string): Right => ({ subject, from: STREAM_ACCOUNT })

/** The JetStream subjects that reading through a durable needs (nats 2.29 with a server of 2.9 or later). */
const readRights = (durable: string): Right[] => [
  ofStream(`$JS.API.CONSUMER.INFO.${STREAM}.${durable}`),
  { ...ofStream(`$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${durable}`), several: true },
  ofStream(`$JS.ACK.${STREAM}.${durable}.>`),
  // The longer form of an acknowledgement: `_` is the JetStream domain when there is none, `*` the account's hash. A `*`
  // for the domain would also match the short form of another durable.
  ofStream(`$JS.ACK._.*.${STREAM}.${durable}.>`),
]

/** The JetStream subjects that keeping a durable with the right settings needs. */
const keepRights = (durable: string, filter: string): Right[] => [
  ofStream(`$JS.API.CONSUMER.INFO.${STREAM}.${durable}`),
  ofStream(`$JS.API.CONSUMER.CREATE.${STREAM}.${durable}.${filter}`),
  ofStream(`$JS.API.CONSUMER.DELETE.${STREAM}.${durable}`),
]

const accountOf = (name: string): string => name.toUpperCase()

/** Every service: it publishes its own statuses and dead letters, and reads through its own durable. */
const serviceRights = (service: string): Right[] => [
  ...STATUS_KINDS.map(kind => ofStream(statusSubject(kind, service))),
  ofStream(deadSubject(service)),
  ofStream(`$JS.API.STREAM.INFO.${STREAM}`),
  ...readRights(tenantsDurable(service)),
]

/** Identity alone, in addition: it publishes lifecycles, keeps the stream, and keeps the consumers of all services. */
const identityRights = (services: readonly string[]): Right[] => [
  ...LIFECYCLE_KINDS.map(kind => ofStream(lifecycleSubject(kind))),
  ofStream(`$JS.API.STREAM.CREATE.${STREAM}`),
  ofStream(`$JS.API.STREAM.UPDATE.${STREAM}`),
  ...readRights(ledgerDurable(IDENTITY)),
  ...keepRights(ledgerDurable(IDENTITY), DURABLE_FILTERS.ledger),
  ...services.flatMap(service => keepRights(tenantsDurable(service), DURABLE_FILTERS.tenants)),
]

const imported = (rights: readonly Right[]): Right[] =>
  rights.some(({ subject }) => subject.startsWith('$JS.API.')) ? [ofStream(JETSTREAM_INFO)] : []

function part(name: string, rights: readonly Right[], subscribe: readonly string[], answers = false) {
  const unique = [...new Map(rights.map(right => [right.subject, right])).values()]
  return { name, account: accountOf(name), rights: unique, subscribe, answers }
}

/** The stream's account, then the operator's, then one for each service; `identity` is the service that makes tenants. */
export function natsAccounts(services: readonly string[]): NatsAccount[] {
  const parts = [
    // A person or a program that requests tenants by a bare event, and does nothing else.
    part('operator', [ofStream(lifecycleSubject('created'))], []),
    ...services.map(service =>
      service === IDENTITY
        ? part(
            service,
            [...identityRights(services), ...serviceRights(service)],
            [`${inboxOf(service)}.>`, CONSUMER_REQUESTS],
            true,
          )
        : part(
            service,
            [...serviceRights(service), { subject: consumerRequestSubject(service), from: accountOf(IDENTITY) }],
            [`${inboxOf(service)}.>`],
          ),
    ),
  ]
  const exportsOf = (account: string): NatsAccount['exports'] => {
    const found = new Map<string, { subject: string; to: string[]; several: boolean }>()
    for (const { account: to, rights } of parts) {
      for (const { subject, from, several = false } of [...imported(rights), ...rights]) {
        if (from !== account) continue
        const known = found.get(subject)
        if (known) known.to.push(to)
        else found.set(subject, { subject, to: [to], several })
      }
    }
    return [...found.values()]
  }
  return [
    { name: STREAM_ACCOUNT, jetstream: true, users: [], exports: exportsOf(STREAM_ACCOUNT), imports: [] },
    ...parts.map(({ name, account, rights, subscribe, answers }) => ({
      name: account,
      jetstream: false,
      users: [{ name, publish: rights.map(({ subject }) => subject), subscribe, ...(answers && { answers }) }],
      exports: exportsOf(account),
      imports: [...imported(rights), ...rights].map(({ subject, from }) => ({ subject, from })),
    })),
  ]
}
