// The conversion of a file's bytes to text: UTF-8, without a byte order mark. Invariant: a file that is no UTF-8 text is
// refused with the line and its likely encoding, and never read with other letters than it was written with.
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'

/** Why bytes are no text, as the rest of a sentence that begins with the file's name. */
export class NoText extends Error {
  /** The line of the fault, or null when all of the file is meant. */
  readonly line: number | null

  constructor(what: string, line: number | null) {
    super(what)
    this.line = line
  }
}

const LINE_FEED = 0x0a
const marks: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ['UTF-32', [0xff, 0xfe, 0, 0]],
  ['UTF-32', [0, 0, 0xfe, 0xff]],
  ['UTF-16', [0xff, 0xfe]],
  ['UTF-16', [0xfe, 0xff]],
]

const SAVE = 'save it as UTF-8'

/** @throws NoText */
export function textOf(bytes: Uint8Array): string {
  const marked = marks.find(([, mark]) => mark.every((byte, at) => bytes[at] === byte))
  if (marked) throw new NoText(`is ${marked[0]}: ${SAVE}`, null)
  const zero = bytes.indexOf(0)
  if (zero >= 0) {
    // Every second byte of plain letters is zero in UTF-16.
    const wide = bytes.subarray(0, 64).filter(byte => byte === 0).length >= Math.min(64, bytes.length) / 4
    if (wide) throw new NoText(`is UTF-16: ${SAVE}`, null)
    const line = lineAt(bytes, zero)
    throw new NoText(`holds a zero byte in line ${line}: take it out`, line)
  }
  if (!isUtf8(bytes)) {
    const line = firstInvalidLine(bytes)
    throw new NoText(`holds bytes in line ${line} that are no UTF-8 (Latin-1?): ${SAVE}`, line)
  }
  return new TextDecoder('utf-8').decode(bytes)
}

/** @throws NoText, and errors of the file system */
export const readTextFile = (path: string): string => textOf(readFileSync(path))

const lineAt = (bytes: Uint8Array, end: number): number =>
  bytes.subarray(0, end).reduce((count, byte) => (byte === LINE_FEED ? count + 1 : count), 1)

/** No letter of UTF-8 holds the byte of a line's end, so each line is judged by itself. */
function firstInvalidLine(bytes: Uint8Array): number {
  let from = 0
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(LINE_FEED, from)
    if (!isUtf8(bytes.subarray(from, end < 0 ? bytes.length : end)) || end < 0) return line
    from = end + 1
  }
}
