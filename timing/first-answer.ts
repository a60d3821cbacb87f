// A request that is sent again while it has no answer: its receiver may have gone down with it, and another one may have taken its place.
// For requests that may be answered more than once. Invariants: the first send that ends decides, so the deadline of the first send is
// the deadline of all; what the others bring is ignored.
import { every } from './timers.js'

/**
 * @param send one request, with a deadline of its own
 * @param everyMs until it is sent again
 */
export function firstAnswer<T>(send: () => Promise<T>, everyMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const ask = async (): Promise<void> => {
      try {
        resolve(await send())
      } catch (error) {
        reject(error)
      } finally {
        stop()
      }
    }
    const stop = every(everyMs, ask)
    void ask()
  })
}
