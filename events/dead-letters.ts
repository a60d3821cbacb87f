// The dead event: a message that can never be handled, with the reason, or one from a newer release, which is parked
// until a release knows it. The caller's callback stores it.
// Invariant: a reason is bounded and printable, so that it fits a header, a row and a log line.

/** The argument of `onDead`. `data` is the body as it came, which may be neither JSON nor UTF-8. */
export interface DeadLetter {
  readonly subject: string
  readonly data: Uint8Array
  /** First value of each header, by its name as sent. Empty for a bare publish. */
  readonly headers: Readonly<Record<string, string>>
  /** The stream's time of creation: another stream counts from 1 again. */
  readonly streamCreated: string
  readonly streamSeq: number
  /** How often the server had delivered it, this time included. */
  readonly deliveryCount: number
  readonly reason: string
  /** Not understood by this release; a newer one may. */
  readonly parked: boolean
}

/** Thrown by a handler for an event that no retry can help: it goes to the dead letters and is not delivered again. */
export class DeadEvent extends Error {
  override readonly name = 'DeadEvent'
  readonly code = 'EVENT_DEAD'
  readonly reason: string
  readonly parked: boolean

  constructor(reason: string, options: ErrorOptions & { parked?: boolean } = {}) {
    super(reason, options)
    this.reason = printable(reason)
    this.parked = options.parked ?? false
  }
}

/** Escapes what a header may not hold and cuts at 500 characters. */
export function printable(text: string): string {
  const flat = text.replace(/[^\x20-\x7e]+/g, ' ')
  return flat.length > 500 ? `${flat.slice(0, 497)}...` : flat
}
