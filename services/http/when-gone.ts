// The end of a client's interest in its answer.
import type { FastifyReply } from 'fastify'

/** Aborts when the client has disconnected: its answer would have no reader. */
export function whenGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  if (reply.raw.destroyed) controller.abort()
  reply.raw.once('close', () => controller.abort())
  return controller.signal
}
