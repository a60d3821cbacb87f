// A socket that calls back once when its descriptor is closed, also when TLS has taken its listeners and its handle (the
// driver calls `removeAllListeners()` on it, so no event of it can be relied on).
import net from 'node:net'

export class CountedSocket extends net.Socket {
  readonly #gone: (error: Error | null) => void

  constructor(gone: (error: Error | null) => void) {
    super()
    this.#gone = gone
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, result => {
      callback(result)
      this.#gone(error)
    })
  }
}
