// The container of an archive: plain tar, so that any `tar` can open it. Invariant: every entry is a regular file and its
// header is exactly the one written here, so a changed byte anywhere in it shows. (The libraries for tar need a file's size
// before its first byte, which is unknown for a dump: each would be spooled to the disk first. Here the header is written last,
// into the gap left for it.) Sizes above 8 GiB are written as GNU and BSD tar do.
import type { FileHandle } from 'node:fs/promises'
import { ArchiveInvalid } from '../../plugins/distributed-tenant/errors.js'

export const BLOCK = 512
/** Two empty blocks end it. */
export const END = Buffer.alloc(2 * BLOCK)
const LONGEST_NAME = 100
/** The largest value of eleven octal digits. */
const OCTAL_LIMIT = 8 ** 11

export interface Entry {
  readonly name: string
  readonly size: number
  /** Where its contents begin in the file. */
  readonly offset: number
}

export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK

/** @param mtime seconds since 1970 */
export function headerOf(name: string, size: number, mtime: number): Buffer {
  const header = Buffer.alloc(BLOCK)
  if (Buffer.byteLength(name) > LONGEST_NAME) throw new RangeError(`${name} is too long for a tar header`)
  header.write(name, 0)
  header.write('0000600\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  if (size < OCTAL_LIMIT) header.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  else {
    header[124] = 0x80
    header.writeBigUInt64BE(BigInt(size), 128)
  }
  header.write(`${mtime.toString(8).padStart(11, '0')}\0`, 136)
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\0', 257)
  header.write('00', 263)
  let sum = 0
  for (const byte of header) sum += byte
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

/** @throws ARCHIVE_INVALID for a file that this writer would not have written so */
export async function readEntries(file: FileHandle, path: string): Promise<Entry[]> {
  const { size: length } = await file.stat()
  const entries: Entry[] = []
  for (let at = 0; ; ) {
    const header = Buffer.alloc(BLOCK)
    const { bytesRead } = await file.read(header, 0, BLOCK, at)
    if (bytesRead < BLOCK) throw new ArchiveInvalid(path, 'it ends too early')
    if (header.every(byte => byte === 0)) {
      const rest = Buffer.alloc(2 * BLOCK)
      const { bytesRead: more } = await file.read(rest, 0, rest.length, at + BLOCK)
      if (more !== BLOCK || !rest.every(byte => byte === 0)) throw new ArchiveInvalid(path, 'its end is not as written')
      return entries
    }
    const entry = entryOf(header, at + BLOCK)
    if (!entry)
      throw new ArchiveInvalid(path, entries.length === 0 ? 'it is no archive of ours' : 'a header has changed')
    const pad = Buffer.alloc(padding(entry.size))
    const next = entry.offset + entry.size + pad.length
    if (next > length) throw new ArchiveInvalid(path, `it ends in the middle of ${entry.name}`)
    if (pad.length > 0) await file.read(pad, 0, pad.length, entry.offset + entry.size)
    if (!pad.every(byte => byte === 0)) throw new ArchiveInvalid(path, `what follows ${entry.name} has changed`)
    entries.push(entry)
    at = next
  }
}

function entryOf(header: Buffer, offset: number): Entry | null {
  const name = header.subarray(0, LONGEST_NAME).toString().replace(/\0.*$/s, '')
  const size = header[124] === 0x80 ? Number(header.readBigUInt64BE(128)) : octal(header.subarray(124, 135))
  const mtime = octal(header.subarray(136, 147))
  if (name === '' || !Number.isSafeInteger(size) || !Number.isSafeInteger(mtime)) return null
  return headerOf(name, size, mtime).equals(header) ? { name, size, offset } : null
}

const octal = (digits: Buffer): number =>
  /^[0-7]{11}$/.test(digits.toString('latin1')) ? Number.parseInt(digits.toString('latin1'), 8) : Number.NaN
