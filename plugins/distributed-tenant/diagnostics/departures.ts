// The channel on which an event is published before it is written to the outbox, so that subscribers add headers to it
// (tracing does). It has no origin: the headers belong to the caller's context.
import { channel } from 'node:diagnostics_channel'
import type { TenantId } from '../types.js'

const departures = channel('distributed-tenant:departure')

/** An event is about to be written down, in the context of what caused it: who carries something along adds headers. */
export interface Departure {
  readonly subject: string
  readonly tenantId: TenantId
  readonly headers: Record<string, string>
}

/** Lets whoever listens add headers to an event before it is written. Of no origin: what is carried is the caller's context. */
export function carry(departure: Departure): void {
  if (departures.hasSubscribers) departures.publish(departure)
}

/** @returns how to stop */
export function onDeparture(add: (departure: Departure) => void): () => void {
  const listener = (message: unknown): void => add(message as Departure)
  departures.subscribe(listener)
  return () => departures.unsubscribe(listener)
}
