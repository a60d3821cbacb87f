// Temporary folders for servers' data: under the system's folder for such, passable for the server's own user, registered
// with the watchdog. Removing one twice is fine.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { processWatch, type Watch } from '../watch.js'

export interface Folder {
  path: string
  remove(): void
}

/** A temporary folder, or the given one, which is made if it is missing and which only its owner removes. */
export function makeFolder(given?: string, watch: Watch = processWatch()): Folder {
  if (given !== undefined) {
    mkdirSync(given, { recursive: true, mode: 0o711 })
    return { path: given, remove() {} }
  }
  const path = mkdtempSync(join(tmpdir(), 'distributed-tenant-'))
  watch.folder(path)
  // PostgreSQL may run as another user, who must get through to its own folder inside but need not list this one.
  chmodSync(path, 0o711)
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
      watch.forget(path)
    },
  }
}

/** A password that needs no escaping in a URL, a shell or a configuration file. */
export function randomPassword(): string {
  return randomBytes(24).toString('hex')
}
