// The lock of one `npm start` per checkout, and the channel to it: a listening socket, so it ends with the
// process that holds it, whatever ends that, and cannot be stale. On Linux the socket has no file; elsewhere its file is
// taken over when it does not answer. One line in, one answer out.
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface Lock {
  release(): void
}

/** The holder's handler of a line from another process; it answers with one text. */
export type Answer = (line: string) => Promise<string>

const WHO = 'who'

/** The lock, or the process number of the launcher that has it. */
export async function takeLock(checkout: string, answer: Answer): Promise<Lock | { heldBy: number }> {
  const address = addressOf(checkout)
  for (let attempt = 0; ; attempt++) {
    const lock = await listen(address, answer)
    if (lock) return lock
    // It listens and is busy: held, by an unknown process.
    const heldBy = await ask(address, WHO, 2000).catch(() => '0')
    if (heldBy !== undefined || attempt === 5) return { heldBy: Number(heldBy ?? 0) || 0 }
    if (!address.startsWith('\0')) rmSync(address, { force: true })
  }
}

/** Sends a line to the launcher of this checkout; undefined when there is none. Throws when it does not answer in time. */
export function notifyLauncher(checkout: string, line: string, milliseconds: number): Promise<string | undefined> {
  return ask(addressOf(checkout), line, milliseconds)
}

function addressOf(checkout: string): string {
  const key = createHash('sha256').update(checkout).digest('hex').slice(0, 24)
  return process.platform === 'linux' ? `\0distributed-tenant-${key}` : join(tmpdir(), `distributed-tenant-${key}.lock`)
}

function listen(address: string, answer: Answer): Promise<Lock | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => {
      // One that asks may end before its answer; its interface passes that on.
      const lines = createInterface({ input: socket.on('error', () => {}) }).on('error', () => {})
      lines.once('line', async line => {
        socket.end(line === WHO ? String(process.pid) : await answer(line))
      })
    })
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    // Keeps its process alive, also when every service has ended: they can be started again.
    server.listen(address, () => resolve({ release: () => server.close() }))
  })
}

function ask(address: string, line: string, milliseconds: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(address, () => socket.write(`${line}\n`))
    socket.setTimeout(milliseconds, () => {
      socket.destroy()
      reject(new Error(`The launcher has not answered within ${milliseconds / 1000} seconds.`))
    })
    socket.on('data', data => {
      answer += data
    })
    socket.on('error', () => resolve(undefined))
    socket.on('end', () => {
      socket.destroy()
      resolve(answer)
    })
  })
}
