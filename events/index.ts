// The public face of events/: what crosses the stream, and how to send and receive it. The only importer of `nats`.
export { type ClusterMember, type ClusterMembers, readClusterMembers, removeFromCluster } from './cluster-members.js'
export {
  type ConnectionStatus,
  type ConnectOptions,
  connectEvents,
  type EventsConnection,
} from './connection.js'
export { type ConsumeOptions, type ConsumerState, consume, type EventsConsumer } from './consumer.js'
export { answerConsumerRequests } from './consumer-requests.js'
export { DeadEvent, type DeadLetter } from './dead-letters.js'
export { type JsonObject, type JsonValue, jsonFlaw } from './decode.js'
export type { Incoming } from './delivery.js'
export { ACK_WAIT_MS } from './durable.js'
export { EventRejected, EventsUnavailable } from './failures.js'
export { askServers, inspectStream, type NatsServerFacts, type StreamInspection } from './inspection.js'
export { type ConsumerLag, readConsumerLag } from './lag.js'
export { loadSchemaLibrary } from './libraries.js'
export {
  type ChangedEvent,
  type CreatedEvent,
  encode,
  type LifecycleEvent,
  type Parsed,
  parseLifecycle,
  parseStatus,
  type StatusEvent,
} from './messages.js'
export { JETSTREAM_INFO, type NatsAccount, type NatsUser, natsAccounts, STREAM_ACCOUNT } from './permissions.js'
export {
  createPublisher,
  type Publication,
  type Published,
  type Publisher,
  type PublisherOptions,
} from './publisher.js'
export type { EventsReport, Report } from './report.js'
export { LifecycleBody, StatusBody } from './schemas.js'
export type { EnsuredStream, StreamOptions, StreamState } from './stream.js'
export { ensureTenantStream, readMissing, readStreamState } from './stream.js'
export {
  deadSubject,
  LIFECYCLE_FILTER,
  LIFECYCLE_KINDS,
  type LifecycleKind,
  ledgerDurable,
  lifecycleSubject,
  messageId,
  parseSubject,
  SERVICE_PATTERN,
  STATUS_FILTER,
  STATUS_KINDS,
  STREAM,
  STREAM_SUBJECTS,
  type StatusKind,
  type Subject,
  statusMessageId,
  statusSubject,
  tenantsDurable,
} from './subjects.js'
export { isTenantId, TENANT_ID_MAX, TENANT_ID_PATTERN, type TenantId } from './tenant-id.js'
export { compileValidator, type Validator } from './validator.js'
