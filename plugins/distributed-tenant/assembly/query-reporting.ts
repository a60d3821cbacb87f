// The steps of a client's waits and statements. Neither text nor values leave this file, only the first word of a statement.
// Without a subscriber each costs one check.

import type { DriverQuery } from '../../../postgres/connections/driver.js'
import type { Follow } from '../../../postgres/sql/statement.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { PoolName } from '../diagnostics/steps.js'

/** @param nameOf the database of a pool's key */
export function createFollow(publish: PublishStep, pool: PoolName, nameOf: (key: string) => string): Follow {
  return {
    wait(key) {
      if (!publish.hasSubscribers('query')) return null
      const since = performance.now()
      return error => {
        const event = { type: 'waited', key: nameOf(key), ms: performance.now() - since, error } as const
        publish({ area: 'query', pool, event })
      }
    },
    statement(key, query) {
      if (!publish.hasSubscribers('query')) return null
      const one = { key: nameOf(key), statement: {} }
      publish({ area: 'query', pool, event: { type: 'sent', ...one, operation: operationOf(query) } })
      return error => publish({ area: 'query', pool, event: { type: 'ended', ...one, error } })
    },
  }
}

const operationOf = ({ strings }: DriverQuery): string =>
  /^\s*([a-z]+)/i.exec(strings[0] ?? '')?.[1]?.toLowerCase() ?? 'query'
