// A connection that is not there yet: it counts in its pool like any other while it is looked for. A failed search is the reason
// of its loss; closed before its end, it never connects.
import type { Connection } from './connection.js'
import { connectionClosed } from './failures.js'

export interface Search {
  /** The connection, which may still be opening. */
  readonly found: Promise<Connection>
  /** Resolves when every socket that the search has opened is closed, the found one too. Never rejects. */
  readonly closed: Promise<void>
  /** Ends the search. Not called once it has an outcome. */
  abandon(error: Error): void
}

export function deferConnection({ found, closed, abandon }: Search): Connection {
  let inner: Connection | null = null
  let lost: Error | null = null
  const watchers = new Set<(error: Error) => void>()

  const lose = (error: Error): void => {
    if (lost) return
    lost = error
    for (const onLost of watchers) onLost(error)
    watchers.clear()
  }

  const placed = found.then(
    connection => {
      if (lost) {
        connection.destroy(lost)
        throw lost
      }
      inner = connection
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
  const ready = (): Connection => {
    if (!inner) throw connectionClosed('the connection is not open yet')
    return inner
  }
  const giveUp = (error: Error): void => {
    if (lost) return
    lose(error)
    abandon(error)
  }

  return {
    // A transaction is known to the connection that pipelines its statements.
    get transacting() {
      return inner?.transacting ?? false
    },
    set transacting(is) {
      if (inner) inner.transacting = is
    },
    opened,
    closed,
    get lost() {
      return lost
    },
    get worn() {
      return inner?.worn ?? false
    },
    get standby() {
      return inner?.standby ?? false
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
      else giveUp(error)
    },
    close() {
      if (inner) return inner.close()
      giveUp(connectionClosed('the connection was closed'))
      return closed
    },
  }
}
