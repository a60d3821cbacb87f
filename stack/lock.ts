// Only one `npm start` per checkout: the lock is a listening socket, so it ends with the process that holds it, whatever
// ends that, and cannot be stale. On Linux the socket has no file; elsewhere its file is taken over when nobody answers.
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Lock {
  release(): void
}

/** The lock, or the process number of the launcher that has it. */
export async function takeLock(checkout: string): Promise<Lock | { heldBy: number }> {
  const key = createHash('sha256').update(checkout).digest('hex').slice(0, 24)
  const abstract = process.platform === 'linux'
  const address = abstract ? `\0distributed-tenant-${key}` : join(tmpdir(), `distributed-tenant-${key}.lock`)
  for (let attempt = 0; ; attempt++) {
    const lock = await listen(address)
    if (lock) return lock
    const heldBy = await askHolder(address)
    if (heldBy !== undefined || attempt === 5) return { heldBy: heldBy ?? 0 }
    if (!abstract) rmSync(address, { force: true })
  }
}

function listen(address: string): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.end(String(process.pid))
    })
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen(address, () => {
      server.unref()
      resolve({ release: () => server.close() })
    })
  })
}

function askHolder(address: string): Promise<number | undefined> {
  return new Promise(resolve => {
    let answer = ''
    const socket = connect(address)
    socket.setTimeout(2000, () => {
      // It listens and is busy: held, by whom we cannot say.
      socket.destroy()
      resolve(0)
    })
    socket.on('data', data => {
      answer += data
    })
    socket.on('error', () => resolve(undefined))
    socket.on('end', () => {
      socket.destroy()
      resolve(Number(answer) || 0)
    })
  })
}
