// A disk of its own for one server of a test, so small that it can really run full: a file system in memory, mounted for the test.
// Invariant: whatever else the machine's disks have, the server's data, its log of changes included, has what the test leaves it.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, statfsSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { PostgresServer } from '../../stack/servers/postgres.js'

export interface SmallDisk {
  /** Moves a server's data there. It is restarted. */
  carry(server: PostgresServer): Promise<void>
  /** Fills the disk until so many bytes are free. */
  leave(bytes: number): void
  /** Takes away what `leave` has put there, as an administrator does who gives it more room. */
  widen(): void
  free(): number
}

const SIZE = 2 ** 30

/**
 * To be asked for before the servers are started, as it ends after them.
 *
 * @returns null where this process may not mount
 */
export function smallDisk(t: Pick<Test, 'teardown'>): SmallDisk | null {
  const place = mkdtempSync(join(tmpdir(), 'small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=711`, 'tmpfs', place], { stdio: 'pipe' })
  } catch {
    rmSync(place, { recursive: true })
    return null
  }
  // It ends with its input, so with this process in any case.
  const keeper = spawn('/bin/sh', ['-c', 'cat; umount --lazy "$0"; rmdir "$0"', place], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  keeper.unref()
  t.teardown(async () => {
    keeper.ref()
    const ended = once(keeper, 'exit')
    keeper.stdin.end()
    await ended
  })
  const ballast = join(place, 'ballast')
  const free = (): number => {
    const { bavail, bsize } = statfsSync(place)
    return bavail * bsize
  }
  const widen = (): void => rmSync(ballast, { force: true })
  chmodSync(place, 0o711)
  return {
    free,
    widen,
    async carry(server) {
      const data = join(place, 'data')
      if (existsSync(data)) throw new Error('this disk has a server already')
      // A stop would take its folder away.
      await server.kill()
      const { uid, gid } = statSync(server.dir)
      execFileSync('cp', ['-a', server.dir, data])
      execFileSync('chown', [`${uid}:${gid}`, data])
      renameSync(server.dir, `${server.dir}-before`)
      symlinkSync(data, server.dir)
      await server.restart()
    },
    leave(bytes) {
      widen()
      execFileSync('fallocate', ['--length', String(free() - bytes), ballast])
    },
  }
}

/** For a test that has no such disk. */
export const noSmallDisk = 'this process may not mount a file system, so no disk was filled'
