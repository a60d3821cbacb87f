// Moments and durations as people read them: relative to the clock of the server, in one unit.
import { serverNow } from './api.js'
import { html, useEffect, useState } from './html.js'

const units = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
]

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const [size, name] = units.find(([size]) => seconds >= size)
  return `${Math.floor(seconds / size)} ${name}`
}

export function relative(moment, now = serverNow()) {
  const ms = new Date(moment).getTime() - now
  if (Math.abs(ms) < 1500) return 'now'
  const text = duration(Math.floor(Math.abs(ms) / 1000) * 1000).replace('.0 s', ' s')
  return ms < 0 ? `${text} ago` : `in ${text}`
}

export const absolute = moment => new Date(moment).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' })

const clocks = new Set()
let ticking = null
/** One timer for every time of the page. */
function everyFiveSeconds(tick) {
  clocks.add(tick)
  ticking ??= setInterval(() => {
    for (const one of clocks) one(count => count + 1)
  }, 5_000)
  return () => {
    clocks.delete(tick)
    if (clocks.size > 0) return
    clearInterval(ticking)
    ticking = null
  }
}

/** Relative, with the absolute on hover; it goes on by itself. */
export const Time = ({ at }) => {
  const [, tick] = useState(0)
  useEffect(() => everyFiveSeconds(tick), [])
  if (!at) return html`<span class="soft">–</span>`
  return html`<time datetime=${new Date(at).toISOString()} title=${absolute(at)} class="nowrap">${relative(at)}</time>`
}
