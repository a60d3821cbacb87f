// Owns the end of a response that waits behind another in its pipeline: it has no socket yet, and when the client leaves
// nobody closes it, so it ends with its socket. Invariant: one listener per socket, however many wait.
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'

const kWaiting = Symbol('distributed-tenant.waiting')

/**
 * Calls `ended` when the client of a response leaves that has no socket of its own yet.
 * @returns how to stop; null for a response whose own `close` will come
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
