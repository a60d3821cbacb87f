// The end of a session by us: Terminate, after a request to cancel the statement that still runs, and then the server closes the
// socket. A connection counts until then, so an end that takes long is cut. The driver is left out where it waits for nothing: it
// would make a timer and errors.
import type net from 'node:net'
import { sendCancel } from './cancel-request.js'
import type { DriverQuery } from './driver.js'
import type { Target } from './target.js'

/** How long a session that we have ended may take to close: the server checks for the client every second. */
const LINGER_MS = 2_500

const TERMINATE = Buffer.from('X\0\0\0\x04')

const ignore = (): void => {}

export interface EndingSession {
  readonly socket: net.Socket
  readonly target: Target
  /** The socket is closed. */
  readonly closed: Promise<void>
  /** The query handed last, while it has no answer. */
  readonly latest: DriverQuery | null
  /** The driver waits for no answer. */
  readonly quiet: boolean
  /** Ends it by the driver. `end` must be given a timeout, or it may never resolve (docs/decisions/0001). */
  readonly byDriver: () => void
}

export function endSession({ socket, target, closed, latest, quiet, byDriver }: EndingSession): void {
  const linger = setTimeout(() => socket.destroy(), LINGER_MS)
  void closed.then(() => clearTimeout(linger))
  if (quiet && latest === null && !target.tls) {
    for (const event of ['data', 'error', 'close', 'drain', 'end']) socket.removeAllListeners(event)
    socket.on('error', ignore)
    socket.once('end', () => socket.destroy())
    socket.write(TERMINATE)
    return
  }
  const stopped = latest?.active && latest.state ? sendCancel(target, latest.state) : null
  // A pooler can map the cancel request to a backend only while this connection is open.
  if (stopped && target.pooler) void stopped.then(byDriver)
  else byDriver()
}
