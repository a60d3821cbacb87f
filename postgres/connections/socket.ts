// A socket that calls back once when its descriptor is closed, also when TLS has taken its listeners and its handle (the
// driver calls `removeAllListeners()` on it, so no event of it can be relied on).
import net from 'node:net'

export class CountedSocket extends net.Socket {
  readonly #gone: (error: Error | null) => void

  /** @param onread the buffer to read into; without it each read has one of 64 KiB made for it */
  constructor(gone: (error: Error | null) => void, onread?: net.OnReadOpts) {
    // Its types have this only for net.connect, which hands it on.
    super((onread ? { onread } : {}) as net.SocketConstructorOpts)
    this.#gone = gone
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, result => {
      callback(result)
      this.#gone(error)
    })
  }
}
