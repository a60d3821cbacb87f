// The live view in the browser: server-sent events, which the browser opens again with its place after a loss. When they cannot
// be had, polling every five seconds. Modules subscribe to what they show; the state of the connection is one of these.
// Invariant: `Live` is shown only while events come. A page that has been hidden for a minute keeps no stream, as a browser opens six
// connections to a server at most, in all of its tabs; it reads again what it shows when it is shown.
import { read } from './api.js'

const listeners = { tenants: new Set(), reset: new Set(), overview: new Set(), state: new Set(), tick: new Set() }
const POLL_MS = 5_000
/** Attempts without a connection before the page polls. */
const PATIENCE = 2
/** An overview comes every five seconds: a connection that has been silent for so long is dead, though it may look open. */
const SILENT_MS = 20_000
const LOOK_MS = 5_000
const HIDDEN_MS = 60_000
const REOPEN_MS = 10_000

let source = null
let polling = null
let failures = 0
let reopening = null
let hiding = null
let looking = null
let heardAt = 0
/** Changes may be missed: the next stream is a new one, without a place. */
let missed = false
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

function overview(found) {
  lastOverview = found
  notify('overview', found)
  notify('tick')
}

/** One at a time: a server that hangs gets no second question. */
function poll() {
  if (polling) return
  const mine = { timer: null }
  polling = mine
  const look = async () => {
    try {
      const found = await read('overview')
      if (polling !== mine) return
      overview(found)
      // Changes do not come: each page reads again what it shows.
      notify('reset')
      become('polling')
    } catch (error) {
      if (polling === mine) become('lost', error.message)
    }
    if (polling === mine) mine.timer = setTimeout(look, POLL_MS)
  }
  mine.timer = setTimeout(look, POLL_MS)
}

function stopPolling() {
  clearTimeout(polling?.timer)
  polling = null
}

function connect() {
  if (source) return
  const current = new EventSource('api/events')
  source = current
  heardAt = Date.now()
  const receive = (name, handle) =>
    current.addEventListener(name, event => {
      if (source !== current) return
      heardAt = Date.now()
      handle(event)
    })
  receive('hello', () => {
    failures = 0
    stopPolling()
    become('live')
    if (missed) notify('reset')
    missed = false
  })
  receive('tenants', event => {
    become('live')
    const rows = JSON.parse(event.data)
    if (rows.length > 0) notify('tenants', rows)
  })
  receive('reset', () => {
    become('live')
    notify('reset')
  })
  receive('lost', event => become('lost', JSON.parse(event.data).message))
  receive('overview', event => overview(JSON.parse(event.data)))
  current.onerror = () => {
    if (source !== current) return
    failures++
    heardAt = Date.now()
    if (state.mode === 'live') become('connecting')
    if (failures >= PATIENCE) poll()
    // Refused with a status: the browser does not try again by itself.
    if (current.readyState === EventSource.CLOSED) reopen(REOPEN_MS)
  }
}

/** By a new stream, which has no place. */
function reopen(ms) {
  disconnect()
  missed = true
  reopening = setTimeout(connect, ms)
}

function disconnect() {
  clearTimeout(reopening)
  source?.close()
  source = null
}

/** Also when a machine wakes up, whose timers have slept as well. */
function look() {
  if (!source || Date.now() - heardAt < SILENT_MS) return
  failures++
  become('connecting')
  if (failures >= PATIENCE) poll()
  reopen(0)
}

function seen() {
  clearTimeout(hiding)
  if (document.visibilityState === 'hidden') {
    hiding = setTimeout(() => {
      disconnect()
      stopPolling()
      missed = true
      become('connecting')
    }, HIDDEN_MS)
  } else if (source) look()
  else if (!polling) {
    clearTimeout(reopening)
    connect()
  }
}

export function openLive() {
  if (looking) return
  looking = setInterval(look, LOOK_MS)
  document.addEventListener('visibilitychange', seen)
  addEventListener('online', look)
  connect()
}

export function closeLive() {
  clearInterval(looking)
  looking = null
  clearTimeout(hiding)
  document.removeEventListener('visibilitychange', seen)
  removeEventListener('online', look)
  disconnect()
  failures = 0
  missed = false
  stopPolling()
}
