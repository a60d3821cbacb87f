// The stream of changes that each open page has. Invariants: a process has no more of them than `mostStreams`; one whose session is over
// ends within CHECK_MS; a browser that does not read is cut off, and comes back by its place.
// If its session cannot be checked: the stream goes on until the next look.
import { createError } from '@fastify/error'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { every } from '../../timing/timers.js'
import type { Frame, Live } from './live.js'
import type { SessionGate } from './session-gate.js'

export const TooManyConsoles = createError(
  'TOO_MANY_STREAMS',
  'All %s event streams of consoles are taken in this process: close one; until then this page polls.',
  429,
)

export interface EventRoute {
  readonly gate: SessionGate
  readonly options: { readonly config: { readonly tenant: false } }
  readonly live: Live
  readonly mostStreams: number
}

const BEHIND_BYTES = 1024 * 1024
/** Of the place that a browser names. */
const LONGEST_PLACE = 2_000
const CHECK_MS = 15_000

/** @returns the end of all streams */
export function eventRoute(app: FastifyInstance, { gate, options, live, mostStreams }: EventRoute): () => void {
  /** Each stream with its request. */
  const open = new Map<FastifyReply, FastifyRequest>()

  app.get('/events', { ...options, sse: 'manual', onRequest: gate.signedIn }, async (request, reply) => {
    if (open.size >= mostStreams) {
      reply.header('retry-after', 10)
      throw new TooManyConsoles(mostStreams)
    }
    const last = reply.sse.lastEventId
    if (reply.raw.destroyed) return
    open.set(reply, request)
    let leave = (): void => {}
    reply.raw.once('close', () => {
      open.delete(reply)
      leave()
    })
    reply.sse.sendHeaders()
    leave = live.join(frame => send(reply, frame), last !== null && isPlace(last) ? last : null)
    reply.sse.keepAlive()
  })

  // All at the same moment: one query looks for all of their sessions.
  const stopChecking = every(CHECK_MS, async () => {
    for (const [reply, request] of open)
      void gate.verified(request).then(
        session => session ?? reply.sse.close(),
        // Not known is not refused: the next look decides.
        error => request.log.warn({ err: error }, 'the session of an event stream could not be checked'),
      )
  })

  return () => {
    stopChecking()
    live.close()
    for (const reply of open.keys()) reply.sse.close()
  }
}

const isPlace = (text: string): boolean => text.length <= LONGEST_PLACE && /^\d[\d:,]*$/.test(text)

function send({ sse, raw }: FastifyReply, frame: Frame): void {
  if (!sse.isConnected) return
  // It comes back by its place.
  if (raw.writableLength > BEHIND_BYTES) raw.destroy()
  else raw.write(frame)
}
