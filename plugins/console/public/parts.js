// The parts that pages are made of: badges, tables, states, dialogs, messages.
import { html, useEffect, useRef, useState } from './html.js'
import { on } from './live.js'

// Shapes, so that no sign is a colour alone.
const paths = {
  check: 'M3 8.5l3.2 3.2L13 5',
  cross: 'M4 4l8 8M12 4l-8 8',
  clock: 'M8 4.5V8l2.5 1.8M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  alert: 'M8 2L1.6 13.4h12.8zM8 6.4v3.2M8 11.6v.2',
  trash: 'M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9',
  dash: 'M3.5 8h9',
  pulse: 'M1.5 8.5h3l2-5 3 9 2-4h3',
  grid: 'M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z',
  mail: 'M2 3.5h12v9H2zM2 4l6 5 6-5',
  run: 'M13.5 8a5.5 5.5 0 1 1-1.6-3.9M13.5 2v3h-3',
  doctor: 'M8 2.5v11M2.5 8h11',
  plug: 'M5.5 2v4M10.5 2v4M3.5 6h9v2a4.5 4.5 0 0 1-9 0zM8 12.5V15',
  disks:
    'M2.5 4c0-1 2.5-2 5.5-2s5.5 1 5.5 2-2.5 2-5.5 2-5.5-1-5.5-2zM2.5 4v8c0 1 2.5 2 5.5 2s5.5-1 5.5-2V4M2.5 8c0 1 2.5 2 5.5 2s5.5-1 5.5-2',
}

export const Icon = ({ name }) => html`
  <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round"
    stroke-linejoin="round" aria-hidden="true"><path d=${paths[name]} /></svg>`

const signs = {
  ready: ['good', 'check'],
  up: ['good', 'check'],
  ok: ['good', 'check'],
  done: ['good', 'check'],
  active: ['good', 'check'],
  pending: ['warn', 'clock'],
  provisioning: ['warn', 'clock'],
  running: ['warn', 'clock'],
  failed: ['bad', 'cross'],
  foreign: ['bad', 'alert'],
  down: ['bad', 'cross'],
  bad: ['bad', 'cross'],
  stopped: ['bad', 'alert'],
  interrupted: ['bad', 'alert'],
  warn: ['warn', 'alert'],
  suspended: ['warn', 'pause'],
  deleted: ['', 'trash'],
  removed: ['', 'trash'],
  rolled_back: ['', 'run'],
  off: ['', 'dash'],
  unknown: ['', 'dash'],
}

export const Badge = ({ sign, children, title, plain }) => {
  const [tone, icon] = signs[sign] ?? signs.unknown
  return html`<span class=${`badge ${tone} ${plain ? 'plain' : ''}`} title=${title}><${Icon} name=${icon} />${children ?? sign.replaceAll('_', ' ')}</span>`
}

export function bytes(count) {
  if (count === null || count === undefined) return '–'
  const names = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = count < 1 ? 0 : Math.min(names.length - 1, Math.floor(Math.log(count) / Math.log(1024)))
  return `${(count / 1024 ** step).toFixed(step > 1 ? 1 : 0)} ${names[step]}`
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`

export const Bar = ({ value, of, label, wide }) => {
  const share = of > 0 ? Math.min(1, value / of) : 0
  const tone = share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : ''
  return html`<span class=${`bar ${tone} ${wide ? 'wide' : ''}`} role="img" aria-label=${label}>
    <i style=${{ width: `${share * 100}%` }}></i></span>`
}

/** A table that a phone shows as blocks. `columns`: `{ label, cell, num, sort }`. */
export const Table = ({ label, columns, rows, keyOf, rowClass, sort, onSort }) => html`
  <div class="scroll" tabindex="-1">
    <table class="cards" role="table" aria-label=${label}>
      <thead role="rowgroup"><tr role="row">${columns.map(
        column => html`<th role="columnheader" scope="col" class=${column.num ? 'num' : ''}
          aria-sort=${column.sort ? (sort?.by === column.sort ? (sort.descending ? 'descending' : 'ascending') : 'none') : undefined}>
          ${
            column.sort
              ? html`<button type="button" onClick=${() => onSort(column.sort)}>${column.label}<span aria-hidden="true">${
                  sort?.by === column.sort ? (sort.descending ? '↓' : '↑') : '↕'
                }</span></button>`
              : column.label
          }</th>`,
      )}</tr></thead>
      <tbody role="rowgroup">${rows.map(
        row =>
          html`<tr role="row" key=${keyOf(row)} class=${rowClass?.(row) ?? ''}>${columns.map(
            column =>
              html`<td role="cell" data-label=${column.label} class=${column.num ? 'num' : ''}><div>${column.cell(row)}</div></td>`,
          )}</tr>`,
      )}</tbody>
    </table>
  </div>`

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong>${children}</div>`

export const Failure = ({ error, again, label = 'Try again' }) => html`
  <div class="note bad" role="alert">
    <strong>${error.code ?? 'It did not work'}</strong> <${Rich} text=${error.message} />
    ${again && html` <button type="button" class="act slim" onClick=${again}>${label}</button>`}
  </div>`

/**
 * Reads on mount, when `deps` change, and with every tick of the live view; an old answer stays while a new one is fetched. A tick that
 * comes while a read is under way waits for its end: a service that hangs would otherwise keep every answer from being shown. After a read
 * that failed for a reason that passes, the next tick reads again, whatever `every` is.
 */
export function useData(load, deps, { every = 'tick' } = {}) {
  const [state, set] = useState({ data: null, error: null, loading: true })
  const turn = useRef(0)
  const reading = useRef(0)
  const due = useRef(false)
  const passing = useRef(false)
  const latest = useRef(load)
  latest.current = load
  const again = async () => {
    const mine = ++turn.current
    reading.current = mine
    due.current = false
    try {
      const data = await latest.current()
      if (mine !== turn.current) return
      passing.current = false
      set({ data, error: null, loading: false })
    } catch (error) {
      if (mine !== turn.current) return
      passing.current = passes(error)
      set(before => ({ ...before, error, loading: false }))
    }
    reading.current = 0
    if (due.current) again()
  }
  const tick = () => {
    if (reading.current === 0) again()
    // What has changed since it began is read behind it.
    else due.current = every === 'reset'
  }
  useEffect(() => {
    set(before => ({ ...before, loading: true }))
    again()
    const off = every ? on(every, tick) : () => {}
    const offRetry = on('tick', () => passing.current && reading.current === 0 && again())
    return () => {
      turn.current++
      off()
      offRetry()
    }
  }, deps)
  return { ...state, again, set }
}

/** No answer, too many requests, or a server that cannot answer now. */
const passes = ({ status }) => status === 0 || status === 429 || status >= 500

/** A modal dialog of the platform: it holds the focus, and Escape closes it. */
export const Dialog = ({ title, onClose, children, large }) => {
  const ref = useRef(null)
  useEffect(() => {
    const before = document.activeElement
    const own = ref.current
    own.showModal()
    dialogs.push(own)
    changed()
    return () => {
      dialogs.splice(dialogs.indexOf(own), 1)
      changed()
      before?.focus?.()
    }
  }, [])
  return html`<dialog ref=${ref} class=${large ? 'large' : ''} aria-label=${title} onClose=${onClose}>
    <h2>${title}</h2>${children}<${Messages} inside=${ref} /></dialog>`
}

/** A sentence of the server, with its commands as such. */
export const Rich = ({ text }) => text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))

// Messages, read out by assistive technology. A failure stays until it is closed. They are inside the open dialog where there is one: what
// is outside of it can be neither reached nor read.
let messages = []
const dialogs = []
const listeners = new Set()
const changed = () => {
  for (const listener of listeners) listener(count => count + 1)
}
export function say(text, tone = 'good') {
  const message = { text, tone, id: Math.random() }
  messages = [...messages.slice(-3), message]
  changed()
  if (tone !== 'bad') setTimeout(() => forget(message.id), 6_000)
}
function forget(id) {
  messages = messages.filter(one => one.id !== id)
  changed()
}
export const Messages = ({ inside }) => {
  const [, again] = useState(0)
  useEffect(() => {
    listeners.add(again)
    return () => listeners.delete(again)
  }, [])
  const here = inside ? dialogs.at(-1) === inside.current : dialogs.length === 0
  const of = bad =>
    (here ? messages.filter(({ tone }) => (tone === 'bad') === bad) : []).map(
      ({
        id,
        text,
        tone,
      }) => html`<div key=${id} class=${`toast ${tone}`}><span class="wrap"><${Rich} text=${text} /></span>
      <button type="button" aria-label="Close this message" onClick=${() => forget(id)}>✕</button></div>`,
    )
  return html`<div class="toasts"><div role="alert">${of(true)}</div><div role="status">${of(false)}</div></div>`
}

/** The page's heading: it takes the focus when a page is opened, so that it is read out. */
export const Head = ({ title, lead, children }) => {
  const ref = useRef(null)
  useEffect(() => ref.current.focus({ preventScroll: true }), [])
  return html`
    <div class="head"><h1 tabindex="-1" id="title" ref=${ref}>${title}</h1>${children && html`<div class="end">${children}</div>`}
    ${lead && html`<p class="lead">${lead}</p>`}</div>`
}
