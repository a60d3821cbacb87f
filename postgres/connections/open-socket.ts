// The socket of a connection, which connects at once: the driver first waits for a timer of its own, and the server makes a
// session's process meanwhile. Without TLS it begins the session by itself.
import { serverWithoutTls } from './failures.js'
import { SessionSocket } from './session-socket.js'
import { CountedSocket } from './socket.js'
import { startupParameters, type Target } from './target.js'

/** `N`, to a request for TLS. */
const NO_TLS = 0x4e

const ignore = (): void => {}

export interface SocketEvents {
  /** Its descriptor is closed. */
  readonly gone: (error: Error | null) => void
  readonly onStandby: (standby: boolean) => void
}

/** @returns the socket, and `begin`, which connects */
export function createSocket(target: Target, { gone, onStandby }: SocketEvents) {
  const { host, port } = target
  const socket = target.tls
    ? new CountedSocket(gone)
    : new SessionSocket(
        { host, port, parameters: startupParameters(target), password: target.password ?? '', onStandby },
        gone,
      )
  // The driver adds its listener later.
  socket.on('error', ignore)
  socket.setNoDelay(true)
  // The first byte of a server that has no TLS, to which the driver would begin TLS all the same.
  if (target.tls && target.tls !== 'prefer') {
    socket.once('data', ([answer]: Buffer) => void (answer === NO_TLS && socket.destroy(serverWithoutTls())))
  }
  // The driver reads `host` for TLS; it sets it only on sockets of its own.
  Object.assign(socket, { host, port })
  return {
    socket,
    begin: (): void => void (socket instanceof SessionSocket ? socket.begin() : socket.connect({ host, port })),
  }
}
