// The channel on which an event is published before it is written to the outbox, so that subscribers add headers to it
// (tracing does). It has no origin: the headers belong to the caller's context.
import { channel } from 'node:diagnostics_channel'
import type { TenantId } from '../types.js'

const outgoing = channel('distributed-tenant:outgoing')

/** An event before it is written to the outbox, in the context of its cause: a subscriber that propagates context adds headers. */
export interface OutgoingEvent {
  readonly subject: string
  readonly tenantId: TenantId
  readonly headers: Record<string, string>
}

/** Lets subscribers add headers to an event before it is written. Without an origin: the headers are of the caller's context. */
export function collectHeaders(event: OutgoingEvent): void {
  if (outgoing.hasSubscribers) outgoing.publish(event)
}

/** @returns the function that unsubscribes */
export function onOutgoingEvent(add: (event: OutgoingEvent) => void): () => void {
  const listener = (message: unknown): void => add(message as OutgoingEvent)
  outgoing.subscribe(listener)
  return () => outgoing.unsubscribe(listener)
}
