// The progress of a move on stderr: its step, and of long ones the phase with bytes, rate, time left and what it waits for. One line
// on a terminal, a line for each step and every ten seconds elsewhere; with --json each event is a line of JSON.
import { subscribe } from '../plugins/distributed-tenant/diagnostics/channels.js'
import type { MoveProgress } from '../plugins/distributed-tenant/diagnostics/steps.js'
import { sizeOf } from './output.js'
import { printableLine } from './printable.js'

const LINE_EVERY_MS = 10_000

export interface MoveProgressOptions {
  readonly origin: Parameters<typeof subscribe>[1]
  /** For people. */
  readonly show: boolean
  /** As lines of JSON. */
  readonly json: boolean
  readonly out?: NodeJS.WriteStream
}

/** @returns the end of it */
export function showMove({ origin, show, json, out = process.stderr }: MoveProgressOptions): () => void {
  let drawnAt = 0
  const draw = (text: string, always: boolean): void => {
    const now = performance.now()
    if (out.isTTY) out.write(`\r\u001b[K${printableLine(text).slice(0, (out.columns ?? 80) - 1)}`)
    else if (always || now - drawnAt >= LINE_EVERY_MS) out.write(`${printableLine(text)}\n`)
    else return
    drawnAt = now
  }
  const silence = subscribe(
    ({ area, event }) => {
      if (area !== 'transfer') return
      if (json) out.write(`${JSON.stringify({ at: new Date().toISOString(), ...event })}\n`)
      else if (show && event.type === 'progress') draw(textOf(event), false)
      else if (show) draw(`${event.id}: ${event.type.replaceAll('_', ' ')}`, true)
    },
    origin,
    ['transfer'],
  )
  return () => {
    silence()
    if (show && out.isTTY) out.write('\r\u001b[K')
  }
}

/** One line of a progress event. */
export function textOf({ id, phase, done, all, lagBytes, rate, leftMs, waitsFor }: MoveProgress): string {
  const parts = [
    done === null ? null : `${sizeOf(done)}${all === null ? '' : ` of ${sizeOf(all)}`}`,
    lagBytes === null ? null : `${sizeOf(lagBytes)} of the log behind`,
    rate === null ? null : `${sizeOf(rate)} a second`,
    leftMs === null ? null : `${Math.ceil(leftMs / 1000)} s left`,
    waitsFor === null ? null : `waits for ${waitsFor}`,
  ].filter(part => part !== null)
  return `${id}: ${[phase, ...parts].join(', ')}`
}
