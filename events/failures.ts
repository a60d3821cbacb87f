// The two failures of a call to the stream: temporary (retry) and permanent (a retry is no use).
// Invariant: a failure of unknown kind counts as temporary, because the outbox may retry but must not lose.
import type { NatsError } from 'nats'
import { natsLibrary } from './libraries.js'
import { describe } from './report.js'

/**
 * Milliseconds after which a question about the stream or a consumer is asked again: one that is sent while a cluster has no
 * leader is lost, and its deadline would delay the next one, which the new leader answers.
 */
export const ASK_AGAIN_MS = 250

/** Not connected, timed out, no responder, the server lacks a resource: retry later. */
export class EventsUnavailable extends Error {
  override readonly name = 'EventsUnavailable'
  readonly code = 'EVENTS_UNAVAILABLE'
}

/** Too large, not permitted, not a subject of ours, refused by the stream: the same message will fail again. */
export class EventRejected extends Error {
  override readonly name = 'EventRejected'
  readonly code = 'EVENT_REJECTED'
}

/** Named here, as the types of `nats` do not compile everywhere. */
type Code =
  | 'MaxPayloadExceeded'
  | 'PermissionsViolation'
  | 'BadSubject'
  | 'BadHeader'
  | 'BadPayload'
  | 'InvalidPayload'
  | 'NoResponders'
  | 'Timeout'

const FINAL_CODES: readonly Code[] = [
  'MaxPayloadExceeded',
  'PermissionsViolation',
  'BadSubject',
  'BadHeader',
  'BadPayload',
  'InvalidPayload',
]

/** The stream has the message under way: it is stored, or lost with its leader, a little later. */
const UNDER_WAY = 10158

const isOfClient = (error: unknown): error is NatsError => error instanceof natsLibrary().NatsError

/** Whether it is an error of the client with this code. @internal */
export const hasCode = (error: unknown, code: Code): boolean =>
  isOfClient(error) && error.code === natsLibrary().ErrorCode[code]

/** JetStream's own error number (10059 and so on); undefined for other errors. */
export function apiErrorCode(error: unknown): number | undefined {
  return isOfClient(error) ? error.api_error?.err_code : undefined
}

export function isNoResponders(error: unknown): boolean {
  return hasCode(error, 'NoResponders') && (error as NatsError).api_error === undefined
}

/** Classes an error of the client; the original stays as `cause`. */
export function classify(error: unknown, what: string): EventsUnavailable | EventRejected {
  if (error instanceof EventsUnavailable || error instanceof EventRejected) return error
  const message = `${what}: ${describe(error)}`
  if (isOfClient(error)) {
    const api = error.api_error
    const final =
      api === undefined
        ? FINAL_CODES.some(code => hasCode(error, code))
        : api.code >= 400 && api.code < 500 && api.err_code !== UNDER_WAY
    if (final) return new EventRejected(message, { cause: error })
  }
  return new EventsUnavailable(message, { cause: error })
}
