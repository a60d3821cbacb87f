// A connection whose instance must be looked up first.
import type { Connect, Connection } from '../../../postgres/connections/connection.js'
import { deferConnection } from '../../../postgres/connections/deferred-connection.js'
import type { Target } from '../../../postgres/connections/target.js'

export function openAwaited(place: Promise<{ connect: Connect; target: Target }>, connectTimeout: number): Connection {
  let abandoned: Error | null = null
  const found = place.then(({ connect, target }) => {
    if (abandoned) throw abandoned
    return connect(target, connectTimeout)
  })
  const closed = found.then(
    connection => connection.closed,
    () => {},
  )
  return deferConnection({
    found,
    closed,
    abandon(error) {
      abandoned = error
    },
  })
}
