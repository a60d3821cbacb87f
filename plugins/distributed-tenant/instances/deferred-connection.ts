// A connection whose instance must be looked up first: it counts in its pool like any other while the lookup is under way. A
// failed lookup is the reason of its loss; closed before, it never connects.
import { type Connection, openConnection } from '../connections/connection.js'
import { connectionClosed } from '../connections/failures.js'
import type { Target } from '../connections/target.js'

export function openAwaited(place: Promise<Target>, database: string, connectTimeout: number): Connection {
  let inner: Connection | null = null
  let lost: Error | null = null
  const watchers = new Set<(error: Error) => void>()

  const lose = (error: Error): void => {
    if (lost) return
    lost = error
    for (const onLost of watchers) onLost(error)
    watchers.clear()
  }

  const placed = place.then(
    target => {
      if (lost) throw lost
      inner = openConnection(target, connectTimeout)
      inner.watch(lose)
      return inner
    },
    error => {
      lose(error as Error)
      throw error
    },
  )
  const opened = placed.then(connection => connection.opened)
  opened.catch(() => {})
  const closed = placed.then(
    connection => connection.closed,
    () => {},
  )
  const ready = (): Connection => {
    if (!inner) throw connectionClosed('the connection is not open yet')
    return inner
  }

  return {
    database,
    opened,
    closed,
    get lost() {
      return lost
    },
    get worn() {
      return inner?.worn ?? false
    },
    watch(onLost) {
      if (lost) onLost(lost)
      else watchers.add(onLost)
      return () => watchers.delete(onLost)
    },
    execute: (query, listener) => ready().execute(query, listener),
    run: async text => ready().run(text),
    cancel: async query => ready().cancel(query),
    destroy(error) {
      if (inner) inner.destroy(error)
      else lose(error)
    },
    close() {
      if (inner) return inner.close()
      lose(connectionClosed('the connection was closed'))
      return closed
    },
  }
}
