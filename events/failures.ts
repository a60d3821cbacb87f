// The two failures of a call to the stream: temporary (retry) and permanent (a retry is no use).
// Invariant: a failure of unknown kind counts as temporary, because the outbox may retry but must not lose.
import { ErrorCode, NatsError } from 'nats'
import { describe } from './report.js'

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

const FINAL_CODES: readonly string[] = [
  ErrorCode.MaxPayloadExceeded,
  ErrorCode.PermissionsViolation,
  ErrorCode.BadSubject,
  ErrorCode.BadHeader,
  ErrorCode.BadPayload,
  ErrorCode.InvalidPayload,
]

/** JetStream's own error number (10059 and so on); undefined for other errors. */
export function apiErrorCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined
}

export function isNoResponders(error: unknown): boolean {
  return error instanceof NatsError && error.code === ErrorCode.NoResponders && error.api_error === undefined
}

/** Classes an error of the client; the original stays as `cause`. */
export function classify(error: unknown, what: string): EventsUnavailable | EventRejected {
  if (error instanceof EventsUnavailable || error instanceof EventRejected) return error
  const message = `${what}: ${describe(error)}`
  if (error instanceof NatsError) {
    const api = error.api_error
    const final = api === undefined ? FINAL_CODES.includes(error.code) : api.code >= 400 && api.code < 500
    if (final) return new EventRejected(message, { cause: error })
  }
  return new EventsUnavailable(message, { cause: error })
}
