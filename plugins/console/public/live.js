// The live view in the browser: server-sent events, which the browser opens again with its place after a loss. When they cannot
// be had, polling every five seconds. Modules subscribe to what they show; the state of the connection is one of these.
import { read } from './api.js'

const listeners = { tenants: new Set(), reset: new Set(), overview: new Set(), state: new Set(), tick: new Set() }
const POLL_MS = 5_000
/** Attempts without a connection before the page polls. */
const PATIENCE = 2

let source = null
let polling = null
let failures = 0
let reopening = null
/** The stream was refused: the next one is a new one, without a place. */
let missed = false
let place = 0
let state = { mode: 'connecting', since: Date.now(), message: null }
let lastOverview = null

const notify = (kind, value) => {
  for (const listener of [...listeners[kind]]) listener(value)
}

export const on = (kind, listener) => {
  listeners[kind].add(listener)
  return () => listeners[kind].delete(listener)
}
export const liveState = () => state
export const latestOverview = () => lastOverview

function become(mode, message = null) {
  if (state.mode === mode && state.message === message) return
  state = { mode, since: Date.now(), message }
  notify('state', state)
}

function poll() {
  polling ??= setInterval(async () => {
    try {
      lastOverview = await read('overview')
      notify('overview', lastOverview)
      notify('tick')
      // Changes do not come: each page reads again what it shows.
      notify('reset')
      if (state.mode !== 'live') become('polling')
    } catch (error) {
      become('lost', error.message)
    }
  }, POLL_MS)
}

function stopPolling() {
  clearInterval(polling)
  polling = null
}

export function openLive() {
  if (source) return
  source = new EventSource('api/events')
  const current = source
  current.addEventListener('hello', () => {
    failures = 0
    stopPolling()
    become('live')
    if (missed) notify('reset')
    missed = false
  })
  current.addEventListener('tenants', event => {
    // An older state never replaces a newer one.
    if (Number(event.lastEventId) < place) return
    place = Number(event.lastEventId)
    become('live')
    const rows = JSON.parse(event.data)
    if (rows.length > 0) notify('tenants', rows)
  })
  current.addEventListener('reset', event => {
    place = Number(event.lastEventId) || 0
    become('live')
    notify('reset')
  })
  current.addEventListener('lost', event => become('lost', JSON.parse(event.data).message))
  current.addEventListener('overview', event => {
    lastOverview = JSON.parse(event.data)
    notify('overview', lastOverview)
    notify('tick')
  })
  current.onerror = () => {
    failures++
    if (state.mode === 'live') become('connecting')
    if (failures >= PATIENCE) poll()
    // Refused with a status: the browser does not try again by itself.
    if (current.readyState === EventSource.CLOSED && source === current) {
      source = null
      missed = true
      reopening = setTimeout(openLive, POLL_MS * 2)
    }
  }
}

export function closeLive() {
  clearTimeout(reopening)
  source?.close()
  source = null
  failures = 0
  missed = false
  stopPolling()
}
