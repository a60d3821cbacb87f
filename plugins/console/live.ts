// The live view: one reader of identity's changes and one of all services' overviews for every open console together, which begin
// with the first console and end with the last. A console that reconnects names its place and gets the changes it missed.
// Invariant: an open console costs no query but the look at its session every 15 s. If identity is down: one event says so, also to a console that joins later, and the reader
// tries again every two seconds.
import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../timing/deadline.js'
import type { Operator } from '../operator/index.js'
import type { Services } from './services.js'

export interface LiveEvent {
  /** The place in the stream, of changes alone. */
  readonly id?: string
  readonly event: 'tenants' | 'reset' | 'overview' | 'lost'
  /** JSON, as text: written once for every console. */
  readonly data: string
}

export interface Live {
  /** @returns how to leave */
  join(send: (event: LiveEvent) => void, lastPlace: string | null): () => void
  /** Of every service: its overview, or why there is none. At most {@link FRESH_MS} old. */
  overview(): Promise<Overviews>
  close(): void
}

export type Overviews = Readonly<Record<string, { readonly overview: unknown } | { readonly error: string }>>

interface Changes {
  readonly place: string
  readonly items: readonly unknown[]
  readonly reset: boolean
}

const WAIT_S = 20
const OVERVIEW_MS = 5_000
const FRESH_MS = 1_500
const RETRY_MS = 2_000
/** The first change after a rest is sent at once; the next ones together, which at 50 changes a second is a tenth of the work. */
const GATHER_MS = 200
const OVERVIEW_DEADLINE_MS = 4_000

/** The console itself: it reads, and acts for no person. */
const self: Operator = { name: 'console', role: 'read' }

export function createLive(services: Services, identity: string): Live {
  const clients = new Set<(event: LiveEvent) => void>()
  let closed = false
  let shared: { at: number; result: Promise<Overviews> } | undefined
  const reading = new Set<() => Promise<void>>()
  /** The last `lost`, until changes are read again. */
  let outage: LiveEvent | null = null

  const running = (): boolean => !closed && clients.size > 0
  const broadcast = (event: LiveEvent): void => {
    for (const send of clients) send(event)
  }

  async function look(): Promise<Overviews> {
    const entries = await Promise.all(
      services.names.map(async name => {
        try {
          const reading = services.read(name, self, '/overview', OVERVIEW_DEADLINE_MS)
          const overview = await within(OVERVIEW_DEADLINE_MS, reading, () => {
            throw new Error('no answer in time')
          })
          return [name, { overview }] as const
        } catch (error) {
          return [name, { error: (error as Error).message }] as const
        }
      }),
    )
    return Object.fromEntries(entries)
  }

  function overview(): Promise<Overviews> {
    const now = performance.now()
    if (!shared || now - shared.at > FRESH_MS) shared = { at: now, result: look() }
    return shared.result
  }

  const changes = (after: string | null, wait: number): Promise<Changes> => {
    const query = new URLSearchParams({ wait: String(wait), ...(after !== null && { after }) })
    return services.read(identity, self, `/fleet/changes?${query}`, (WAIT_S + 10) * 1000)
  }

  const eventOf = ({ place, items, reset }: Changes): LiveEvent =>
    reset ? { id: place, event: 'reset', data: '{}' } : { id: place, event: 'tenants', data: JSON.stringify(items) }

  async function followChanges(): Promise<void> {
    let place: string | null = null
    while (running()) {
      try {
        const found: Changes = await changes(place, place === null ? 0 : WAIT_S)
        if (outage) broadcast({ id: found.place, event: 'reset', data: '{}' })
        // The place also where nothing changed: a console that reconnects goes on from it.
        else if (found.items.length > 0 || found.reset || place !== found.place) broadcast(eventOf(found))
        outage = null
        place = found.place
        if (found.items.length > 0) await sleep(GATHER_MS, undefined, { ref: false })
      } catch (error) {
        if (!outage) {
          outage = { event: 'lost', data: JSON.stringify({ message: (error as Error).message }) }
          broadcast(outage)
        }
        place = null
        await sleep(RETRY_MS, undefined, { ref: false })
      }
    }
    outage = null
  }

  async function followOverviews(): Promise<void> {
    while (running()) {
      broadcast({ event: 'overview', data: JSON.stringify(await overview()) })
      await sleep(OVERVIEW_MS, undefined, { ref: false })
    }
  }

  /** Each reader by itself: one may end while the other still waits for an answer. */
  function begin(read: () => Promise<void>): void {
    if (reading.has(read)) return
    reading.add(read)
    // It does not reject: each failure becomes an event.
    void read().finally(() => {
      reading.delete(read)
      // A console has joined while it ended.
      if (running()) begin(read)
    })
  }

  async function catchUp(send: (event: LiveEvent) => void, place: string): Promise<void> {
    try {
      send(eventOf(await changes(place, 0)))
    } catch {
      send({ event: 'reset', data: '{}' })
      // A `reset` reads as live.
      if (outage) send(outage)
    }
  }

  return {
    join(send, lastPlace) {
      clients.add(send)
      if (outage) send(outage)
      begin(followChanges)
      begin(followOverviews)
      void overview().then(found => send({ event: 'overview', data: JSON.stringify(found) }))
      if (lastPlace !== null) void catchUp(send, lastPlace)
      return () => void clients.delete(send)
    },
    overview,
    close() {
      closed = true
      clients.clear()
    },
  }
}
