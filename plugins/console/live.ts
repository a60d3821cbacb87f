// The live view: one reader of identity's changes and one of all services' overviews for every open console together, which begin
// with the first console and end with the last. A console that reconnects names its place and gets the changes it missed.
// Invariants: an open console costs no query; an event is written to bytes once, for all of them; at most four events of changes go out in
// a second; and none reaches a console that catches up before what it missed. If identity is down: one event says so, also to a
// console that joins later, and the reader tries again every two seconds.
import { setTimeout as sleep } from 'node:timers/promises'
import { within } from '../../timing/deadline.js'
import type { Operator } from '../operator/index.js'
import type { Services } from './services.js'

/** An event as it is written to the stream. */
export type Frame = Buffer

export interface Live {
  /**
   * @param lastPlace where the console's stream before ended, as its last event named it
   * @returns how to leave
   */
  join(send: (frame: Frame) => void, lastPlace: string | null): () => void
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
/** The first change after a rest is sent at once, and the next ones together. */
const GATHER_MS = 250
/** A console that has waited so long for what it missed reads its page anew. */
const CATCH_UP_DEADLINE_MS = 10_000
const OVERVIEW_DEADLINE_MS = 4_000

/** The console itself: it reads, and acts for no person. */
const self: Operator = { name: 'console', role: 'read' }

/** The browser waits this long before it reconnects. */
const RECONNECT_MS = 2_000

interface Client {
  readonly send: (frame: Frame) => void
  /** What has come while it catches up; null once it has. */
  held: Frame[] | null
}

/** @param data JSON, which has no line ends. @param id the place in the stream, of changes alone */
const frameOf = (event: string, data: string, id?: string | null): Frame =>
  Buffer.from(`${id ? `id: ${id}\n` : ''}event: ${event}\ndata: ${data}\n\n`)

export function createLive(services: Services, identity: string): Live {
  const clients = new Set<Client>()
  let closed = false
  let shared: { at: number; result: Promise<Overviews>; frame: Promise<Frame> } | undefined
  const reading = new Set<() => Promise<void>>()
  /** The last `lost`, until changes are read again. */
  let outage: Frame | null = null
  /** How far every console that does not catch up has been sent the changes; null before the first. */
  let place: string | null = null

  const running = (): boolean => !closed && clients.size > 0
  const sendTo = ({ send, held }: Client, frame: Frame): void => void (held ? held.push(frame) : send(frame))
  const broadcast = (frame: Frame): void => {
    for (const client of clients) sendTo(client, frame)
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

  function looked() {
    const now = performance.now()
    if (!shared || now - shared.at > FRESH_MS) {
      const result = look()
      shared = { at: now, result, frame: result.then(found => frameOf('overview', JSON.stringify(found))) }
    }
    return shared
  }

  const changes = (after: string | null, wait: number, deadlineMs: number): Promise<Changes> => {
    const query = new URLSearchParams({ wait: String(wait), ...(after !== null && { after }) })
    return services.read(identity, self, `/fleet/changes?${query}`, deadlineMs)
  }

  const changesFrame = ({ place, items, reset }: Changes): Frame =>
    reset ? frameOf('reset', '{}', place) : frameOf('tenants', JSON.stringify(items), place)

  async function followChanges(): Promise<void> {
    while (running()) {
      try {
        const found: Changes = await changes(place, place === null ? 0 : WAIT_S, (WAIT_S + 10) * 1000)
        if (outage) broadcast(frameOf('reset', '{}', found.place))
        // The place also where nothing changed: a console that reconnects goes on from it.
        else if (found.items.length > 0 || found.reset || place !== found.place) broadcast(changesFrame(found))
        outage = null
        place = found.place
        if (found.items.length > 0 || found.reset) await sleep(GATHER_MS, undefined, { ref: false })
      } catch (error) {
        if (!outage) {
          outage = frameOf('lost', JSON.stringify({ message: (error as Error).message }))
          broadcast(outage)
        }
        place = null
        await sleep(RETRY_MS, undefined, { ref: false })
      }
    }
    outage = null
    place = null
  }

  async function followOverviews(): Promise<void> {
    while (running()) {
      broadcast(await looked().frame)
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

  async function catchUp(client: Client, from: string): Promise<void> {
    const missed = await changes(from, 0, CATCH_UP_DEADLINE_MS).then(
      found => [changesFrame(found)],
      // A `reset` reads as live.
      () => [frameOf('reset', '{}'), ...(outage ? [outage] : [])],
    )
    const held = client.held ?? []
    client.held = null
    for (const frame of [...missed, ...held]) client.send(frame)
  }

  return {
    join(send, lastPlace) {
      const client: Client = { send, held: lastPlace === null ? null : [] }
      clients.add(client)
      // With the place, so that a console that loses its stream before the first change goes on from here.
      const hello = lastPlace === null && !outage ? place : null
      send(Buffer.concat([Buffer.from(`retry: ${RECONNECT_MS}\n`), frameOf('hello', '{}', hello)]))
      if (outage) send(outage)
      begin(followChanges)
      begin(followOverviews)
      void looked().frame.then(frame => clients.has(client) && send(frame))
      if (lastPlace !== null) void catchUp(client, lastPlace)
      return () => void clients.delete(client)
    },
    overview: () => looked().result,
    close() {
      closed = true
      clients.clear()
    },
  }
}
