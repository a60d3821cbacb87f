// The writer of archives and exports, as one tar file or as a folder: under a temporary name until all of it is on the disk,
// then renamed; readable by its owner alone. A failed or interrupted one is removed; the leftovers of a killed process are
// removed by the next one that writes beside them. Invariant: an existing name is never overwritten.
import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { TransferRefused } from '../../plugins/distributed-tenant/errors.js'
import { BLOCK, END, headerOf, padding } from './tar.js'

/** What one file in it became. */
export interface Written {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export type Write = (chunk: Uint8Array) => Promise<void>

export interface Parcel {
  /** Writes one file; one at a time. */
  add(name: string, fill: (write: Write) => Promise<void>): Promise<Written>
  /** Flushes it to the disk, and gives it its name. */
  finish(): Promise<void>
  /** Removes the unfinished file. After `finish` it does nothing. */
  abort(): Promise<void>
}

const MODE_FILE = 0o600
const MODE_FOLDER = 0o700
const SUFFIX = 'distributed-tenant-partial'
const HOST = hostname().replace(/[^A-Za-z0-9-]/g, '-')

const partialOf = (path: string): string => join(dirname(path), `.${basename(path)}.${HOST}.${process.pid}.${SUFFIX}`)

/** @throws TRANSFER_REFUSED when the name is taken or its folder is missing */
async function claim(given: string): Promise<{ path: string; partial: string }> {
  const path = resolve(given)
  const folder = dirname(path)
  const taken = await stat(path).catch(() => null)
  if (taken) throw new TransferRefused(`${path} is there already: name another one, or move it away.`)
  const names = await readdir(folder).catch(() => null)
  if (!names) throw new TransferRefused(`The folder ${folder} cannot be read: make it, or name another one.`)
  for (const name of names) if (isAbandoned(name)) await rm(join(folder, name), { recursive: true, force: true })
  return { path, partial: partialOf(path) }
}

/** Of a process of this machine that has ended. */
function isAbandoned(name: string): boolean {
  const [, host, pid] = new RegExp(`^\\..+\\.([A-Za-z0-9-]+)\\.(\\d+)\\.${SUFFIX}$`).exec(name) ?? []
  if (host !== HOST || pid === undefined) return false
  if (Number(pid) === process.pid) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** The name is on the disk only once the folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export interface TarParcel extends Parcel {
  /** The written bytes, read back from the disk; before `finish`. */
  read(name: string): Readable
}

const CHUNK = 64 * 1024

/** @throws TRANSFER_REFUSED */
export async function createTar(given: string): Promise<TarParcel> {
  const { path, partial } = await claim(given)
  const file = await open(partial, 'wx+', MODE_FILE)
  const written = new Map<string, { begin: number; bytes: number }>()
  const mtime = Math.floor(Date.now() / 1000)
  let at = 0
  let over = false

  return {
    async add(name, fill) {
      const begin = at + BLOCK
      const { bytes, sha256 } = await fillInto(file, begin, fill)
      const pad = padding(bytes)
      await put(file, Buffer.alloc(pad), begin + bytes)
      await put(file, headerOf(name, bytes, mtime), at)
      at = begin + bytes + pad
      written.set(name, { begin, bytes })
      return { name, bytes, sha256 }
    },
    read(name) {
      const { begin, bytes } = written.get(name) as { begin: number; bytes: number }
      async function* chunks(): AsyncGenerator<Buffer> {
        for (let done = 0; done < bytes; ) {
          const buffer = Buffer.allocUnsafeSlow(CHUNK)
          const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, bytes - done), begin + done)
          if (bytesRead === 0)
            throw new TransferRefused(`${name} was cut off while it was read back: is the disk full?`)
          done += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      }
      return Readable.from(chunks(), { objectMode: false })
    },
    async finish() {
      await put(file, END, at)
      await file.sync()
      await file.close()
      await rename(partial, path)
      over = true
      await syncFolder(dirname(path))
    },
    async abort() {
      if (over) return
      over = true
      await file.close().catch(() => {})
      await rm(partial, { force: true })
    },
  }
}

/** @throws TRANSFER_REFUSED */
export async function createFolder(given: string): Promise<Parcel> {
  const { path, partial } = await claim(given)
  await mkdir(partial, { mode: MODE_FOLDER })
  let over = false

  return {
    async add(name, fill) {
      const folder = join(partial, dirname(name))
      await mkdir(folder, { recursive: true, mode: MODE_FOLDER })
      const file = await open(join(partial, name), 'wx', MODE_FILE)
      try {
        const written = await fillInto(file, 0, fill)
        await file.sync()
        return { name, ...written }
      } finally {
        await file.close()
      }
    },
    async finish() {
      for (const entry of await readdir(partial, { withFileTypes: true })) {
        if (entry.isDirectory()) await syncFolder(join(partial, entry.name))
      }
      await syncFolder(partial)
      await rename(partial, path)
      over = true
      await syncFolder(dirname(path))
    },
    async abort() {
      if (over) return
      over = true
      await rm(partial, { recursive: true, force: true })
    },
  }
}

async function fillInto(
  file: FileHandle,
  begin: number,
  fill: (write: Write) => Promise<void>,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  await fill(async chunk => {
    hash.update(chunk)
    await put(file, chunk, begin + bytes)
    bytes += chunk.length
  })
  return { bytes, sha256: hash.digest('hex') }
}

/** A write may take only a part. */
async function put(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done)
    done += bytesWritten
  }
}
