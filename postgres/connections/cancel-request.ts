// The request to stop the statement of a backend: sixteen bytes on a socket of their own, which the server closes. Only for
// connections that are not used again: a cancel that comes late would hit the next user's statement. Best effort.
// If the request is lost: the server notices the closed connection by itself (client_connection_check_interval).
import net from 'node:net'

/** The key that the server sends at the start of a session; names its backend to a cancel request. */
export interface Backend {
  readonly pid: number
  readonly secret: number
}

const CANCEL_REQUEST = 80877102
const DEADLINE_MS = 1_000

/** Resolves when the server has taken it, or cannot be reached. Never rejects. */
export function sendCancel(where: { host: string; port: number }, backend: Backend): Promise<void> {
  const message = Buffer.alloc(16)
  message.writeInt32BE(16, 0)
  message.writeInt32BE(CANCEL_REQUEST, 4)
  // Both are unsigned as the driver reads them.
  message.writeUInt32BE(backend.pid, 8)
  message.writeUInt32BE(backend.secret, 12)
  return new Promise(resolve => {
    const socket = net.connect({ host: where.host, port: where.port })
    socket.setTimeout(DEADLINE_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.once('close', () => resolve())
    socket.resume()
    // Not `end`: PgBouncer drops a request whose sender has closed the connection.
    socket.write(message)
  })
}
