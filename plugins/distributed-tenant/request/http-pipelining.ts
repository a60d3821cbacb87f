// The end of a response that waits behind another in its pipeline: it has no socket yet, and when the client leaves it is
// not closed, so it ends with its socket. Invariant: one listener per socket, however many responses wait.
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'

const kWaiting = Symbol('distributed-tenant.waiting')

/**
 * Calls `ended` when the client of a response without a socket of its own leaves.
 * @returns the function that stops waiting; null for a response that will emit `close` itself
 */
export function endWithSocket(response: ServerResponse, ended: () => void): (() => void) | null {
  const socket = response.req.socket as (Socket & { [kWaiting]?: Set<() => void> }) | null
  if (response.socket !== null || !(socket instanceof Socket)) return null
  let waiting = socket[kWaiting]
  if (!waiting) {
    const all = new Set<() => void>()
    socket.once('close', () => {
      for (const one of all) one()
    })
    socket[kWaiting] = all
    waiting = all
  }
  waiting.add(ended)
  return () => waiting.delete(ended)
}
