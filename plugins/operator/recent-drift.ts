// The drift that this process has reported lately, newest first, bounded. Each kind of each tenant stands once.
import { type PublishedStep, subscribe } from '../distributed-tenant/index.js'

export interface RecentDrift {
  readonly at: Date
  readonly kind: string
  readonly id: string
  readonly action: string
  readonly detail: string
}

const MOST = 100
const HOUR_MS = 3_600_000

export function watchDrift(origin: object): { list(): RecentDrift[]; close(): void } {
  const found = new Map<string, RecentDrift>()
  const close = subscribe(
    (step: PublishedStep) => {
      if (step.area !== 'reconcile' || step.event.type !== 'drift') return
      const { kind, id, action, detail } = step.event
      const key = `${kind} ${id}`
      found.delete(key)
      found.set(key, { at: new Date(), kind, id, action, detail })
      const [oldest] = found.keys()
      if (found.size > MOST && oldest !== undefined) found.delete(oldest)
    },
    origin,
    ['reconcile'],
  )
  return {
    list: () => [...found.values()].filter(({ at }) => Date.now() - at.getTime() < HOUR_MS).reverse(),
    close,
  }
}
