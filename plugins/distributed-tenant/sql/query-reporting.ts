// The steps of a client's waits and statements. Neither text nor values leave this file, only the first word of a statement.
// Without a subscriber each costs one check.

import type { DriverQuery } from '../connections/driver.js'
import type { PublishStep } from '../diagnostics/channels.js'
import type { PoolName } from '../diagnostics/steps.js'
import type { Follow } from './statement.js'

export function createFollow(publish: PublishStep, pool: PoolName): Follow {
  return {
    wait(key) {
      if (!publish.hasSubscribers('query')) return null
      const since = performance.now()
      return error =>
        publish({ area: 'query', pool, event: { type: 'waited', key, ms: performance.now() - since, error } })
    },
    statement(key, query) {
      if (!publish.hasSubscribers('query')) return null
      const statement = {}
      publish({ area: 'query', pool, event: { type: 'sent', key, statement, operation: operationOf(query) } })
      return error => publish({ area: 'query', pool, event: { type: 'ended', key, statement, error } })
    },
  }
}

const operationOf = ({ strings }: DriverQuery): string =>
  /^\s*([a-z]+)/i.exec(strings[0] ?? '')?.[1]?.toLowerCase() ?? 'query'
