// The reader of an archive: opened, its manifest read, every byte of it compared with the checksums before any is used. A part
// is returned as a stream. If the file is missing or cut: the error says so, and nothing else was touched.
import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { ArchiveInvalid } from '../../plugins/distributed-tenant/errors.js'
import { MANIFEST, type Manifest, type Part, parseManifest, SUMS, sumsText } from './manifest.js'
import { type Entry, readEntries } from './tar.js'

export interface Archive {
  /** For messages and audit rows: its name without the folder. */
  readonly label: string
  /** Of the manifest: one checksum for its whole contents. */
  readonly sha256: string
  readonly manifest: Manifest
  /** Bytes of all parts. */
  readonly bytes: number
  /** Reads every part once. @throws ARCHIVE_INVALID for the first that is not as it was written */
  check(read: (bytes: number) => void): Promise<void>
  /** @param read is called with the bytes as they are read */
  part(part: Part, read?: (bytes: number) => void): Readable
  close(): Promise<void>
}

/** Long before this the shape of a database is no longer a tenant's. */
const LARGEST_MANIFEST = 512 * 1024 * 1024
const CHUNK = 64 * 1024

/** @throws ARCHIVE_INVALID */
export async function openArchive(path: string): Promise<Archive> {
  const file = await open(path, 'r').catch(error => {
    throw new ArchiveInvalid(path, `it cannot be read (${(error as NodeJS.ErrnoException).code})`)
  })
  try {
    return await readArchive(file, path)
  } catch (error) {
    await file.close()
    throw (error as NodeJS.ErrnoException).code === 'EISDIR' ? new ArchiveInvalid(path, 'it is a folder') : error
  }
}

async function readArchive(file: FileHandle, path: string): Promise<Archive> {
  const entries = new Map((await readEntries(file, path)).map(entry => [entry.name, entry]))
  const own = await smallFile(file, path, entries.get(MANIFEST), MANIFEST)
  const sums = await smallFile(file, path, entries.get(SUMS), SUMS)
  const sha256 = createHash('sha256').update(own).digest('hex')
  const manifest = parseManifest(own, path)
  const files = [
    ...manifest.services.map(({ file: name, sha256: sum }) => ({ name, sha256: sum })),
    { name: MANIFEST, sha256 },
  ]
  if (sums !== sumsText(files)) throw new ArchiveInvalid(path, 'its manifest or its checksums have changed')
  for (const { file: name, bytes } of manifest.services) {
    if (entries.get(name)?.size !== bytes) throw new ArchiveInvalid(path, `${name} is missing or of another size`)
  }
  if (entries.size !== files.length + 1)
    throw new ArchiveInvalid(path, 'it holds files that the manifest does not name')

  // Not the handle's own stream: destroying that one closes the handle. A consumer that is done with a chunk before the next lends
  // one buffer for all of them.
  async function* chunks(name: string, read?: (bytes: number) => void, lent?: Buffer): AsyncGenerator<Buffer> {
    const { offset, size } = entries.get(name) as Entry
    for (let done = 0; done < size; ) {
      const buffer = lent ?? Buffer.allocUnsafeSlow(CHUNK)
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, size - done), offset + done)
      if (bytesRead === 0) throw new ArchiveInvalid(path, `it ends in the middle of ${name}`)
      done += bytesRead
      read?.(bytesRead)
      yield buffer.subarray(0, bytesRead)
    }
  }

  return {
    label: basename(path),
    sha256,
    manifest,
    bytes: manifest.services.reduce((sum, { bytes }) => sum + bytes, 0),
    async check(read) {
      const lent = Buffer.allocUnsafeSlow(CHUNK)
      for (const one of manifest.services) {
        const hash = createHash('sha256')
        for await (const chunk of chunks(one.file, read, lent)) hash.update(chunk)
        if (hash.digest('hex') !== one.sha256) {
          throw new ArchiveInvalid(path, `${one.file} is not as it was written: its checksum differs`)
        }
      }
    },
    part: ({ file: name }, read) => Readable.from(chunks(name, read), { objectMode: false }),
    close: () => file.close(),
  }
}

async function smallFile(file: FileHandle, path: string, entry: Entry | undefined, name: string): Promise<string> {
  if (!entry) throw new ArchiveInvalid(path, `it has no ${name}`)
  if (entry.size > LARGEST_MANIFEST) throw new ArchiveInvalid(path, `its ${name} is too large to be one`)
  const buffer = Buffer.alloc(entry.size)
  for (let done = 0; done < entry.size; ) {
    const { bytesRead } = await file.read(buffer, done, entry.size - done, entry.offset + done)
    if (bytesRead === 0) throw new ArchiveInvalid(path, `it ends in the middle of ${name}`)
    done += bytesRead
  }
  return buffer.toString('utf8')
}
