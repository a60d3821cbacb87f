// The place of the servers' data in a run of the tests: in memory, where the machine has enough of it. An instance
// and each database is hundreds of new files, which costs some disks a second of the kernel's time and memory next
// to nothing. The proofs stay the same: a killed server finds in memory what it would find on a disk, as no test
// cuts the power.
import { readFileSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { type Folder, makeFolder } from '../stack/servers/folder.js'

const memory = '/dev/shm'
/** The measured use of three files at a time is under half of it. */
const ROOM_BYTES = 4 * 2 ** 30

/**
 * Under TMPDIR where it is set; in memory where there is enough of it (Linux); else in the folder for temporary
 * files.
 */
export function runFolder(): Folder {
  if (process.env.TMPDIR || !hasRoom()) return makeFolder()
  process.env.TMPDIR = memory
  try {
    return makeFolder()
  } finally {
    delete process.env.TMPDIR
  }
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(memory)
    return bavail * bsize >= ROOM_BYTES && freemem() >= 2 * ROOM_BYTES && runsPrograms()
  } catch {
    return false
  }
}

/** Tests also run programs that they write. */
function runsPrograms(): boolean {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  return mounts.some(line => {
    const [, place, kind, options = ''] = line.split(' ')
    return place === memory && kind === 'tmpfs' && !options.split(',').includes('noexec')
  })
}
