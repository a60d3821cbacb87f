// Events that services set aside: why, their body, and replay or drop.
import { ActionButton, Confirm, useWork } from '../actions.js'
import { ofService, post } from '../api.js'
import { html, useEffect, useRef, useState } from '../html.js'
import { Badge, Dialog, Empty, Failure, Head, plural, say, Table, useData } from '../parts.js'
import { Time } from '../times.js'

/** Of every service side by side, a path or what `read` gives; one that does not answer hides no other. */
export const fromEach = (services, path, read = service => ofService(service, path)) =>
  Promise.all(
    services.map(async service => {
      try {
        return { service, ...(await read(service)) }
      } catch (error) {
        return { service, items: [], error }
      }
    }),
  )

export const Unanswered = ({ of }) =>
  (of ?? [])
    .filter(({ error }) => error)
    .map(
      ({ service, error }) =>
        html`<p class="note" role="status" key=${service}><b>${service}:</b> ${error.message}</p>`,
    )

/** The first pages of a service, as one. */
async function pagesOf(service, resolved, most) {
  const items = []
  let next = null
  for (let page = 0; page < most && (page === 0 || next !== null); page++) {
    const query = new URLSearchParams({ ...(resolved && { resolved }), ...(next && { after: next }) })
    const answer = await ofService(service, `dead?${query}`)
    items.push(...answer.items)
    next = answer.next
  }
  return { items, next }
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2)
  } catch {
    return body
  }
}

const Event = ({ service, id, onClose, onReplay, onDrop }) => {
  const { data, error } = useData(() => ofService(service, `dead/${id}`), [service, id], { every: null })
  return html`<${Dialog} title=${`Event ${id} of ${service}`} onClose=${onClose} large>
    ${error && html`<${Failure} error=${error} />`}
    ${
      data &&
      html`<dl class="facts"><dt>Subject</dt><dd class="mono">${data.subject}</dd><dt>Why</dt><dd class="wrap">${data.reason}</dd>
        <dt>Received</dt><dd><${Time} at=${data.receivedAt} /></dd><dt>Replays</dt><dd>${data.replays}${data.lastError && html` · ${data.lastError}`}</dd>
        <dt>In the stream</dt><dd>${data.streamSeq ?? '–'}</dd></dl>
        <h3 style="margin-top:12px">Body</h3><pre tabindex="0">${pretty(data.body)}</pre>
        ${Object.keys(data.headers).length > 0 && html`<h3>Headers</h3><pre tabindex="0">${JSON.stringify(data.headers, null, 2)}</pre>`}`
    }
    <div class="ends"><button type="button" class="act" onClick=${onClose}>Close</button>
      ${data?.resolution === null && html`<${ActionButton} role="administer" tone="danger" onClick=${onDrop}>Drop</${ActionButton}><${ActionButton} first onClick=${onReplay}>Replay</${ActionButton}>`}</div>
  </${Dialog}>`
}

/** Each that is shown, but the parked ones, in the order in which they came; one that still cannot be handled stays. */
const ReplayAll = ({ rows, again }) => {
  const [progress, set] = useState(null)
  const stopping = useRef(false)
  const stop = () => {
    stopping.current = true
  }
  useEffect(() => stop, [])
  const due = rows.filter(({ resolution, parked }) => resolution === null && !parked)
  const replay = async () => {
    stopping.current = false
    const line = due.toSorted((a, b) => Number(a.id) - Number(b.id))
    let handled = 0
    let refused = null
    let asked = 0
    for (const { service, id } of line) {
      if (stopping.current) break
      set(`${++asked} of ${line.length}`)
      try {
        if ((await post(service, `dead/${id}/replay`)).ok) handled++
      } catch (error) {
        refused = error
        // Of the session, the role or the console's server: the next ones fail as well.
        if (error.status < 404) break
      }
    }
    set(null)
    const rest = asked - handled
    if (rest === 0) say(`${plural(handled, 'event')} handled.`)
    else
      say(
        `${plural(handled, 'event')} of ${asked} handled. ${refused ? refused.message : 'The list has the reason of each other one.'}`,
        'bad',
      )
    again()
  }
  if (progress) return html`<button type="button" class="act" onClick=${stop}>Stop at ${progress}</button>`
  if (due.length < 2) return null
  return html`<${ActionButton} onClick=${replay}>Replay all ${due.length} shown</${ActionButton}>`
}

export const Dead = ({ session }) => {
  const [resolved, showResolved] = useState(false)
  const [most, setMost] = useState(1)
  const { data, error, again, loading } = useData(
    () => fromEach(session.services, null, service => pagesOf(service, resolved, most)),
    [resolved, most],
  )
  const [open, set] = useState(null)
  const [dropping, drop] = useState(null)
  const [busy, run] = useWork()
  const replay = ({ service, id }) =>
    run(
      async () => {
        const { ok, error } = await post(service, `dead/${id}/replay`)
        if (!ok) throw new Error(`Event ${id} still cannot be handled: ${error}`)
      },
      () => `Event ${id} of ${service} was handled.`,
    ).then(() => {
      set(null)
      again()
    })
  const rows = (data ?? []).flatMap(({ service, items }) => items.map(item => ({ service, ...item })))
  const columns = [
    { label: 'Service', cell: row => html`<b>${row.service}</b>` },
    {
      label: 'Event',
      cell: row => html`<button type="button" class="act link" onClick=${() => set(row)}>${row.id}</button>`,
    },
    { label: 'Subject', cell: row => html`<span class="mono wrap">${row.subject}</span>` },
    {
      label: 'Why',
      cell: row =>
        html`<span class="wrap">${row.reason}</span>${row.lastError && html`<span class="under wrap">last replay: ${row.lastError}</span>`}`,
    },
    {
      label: 'State',
      cell: row =>
        html`<${Badge} sign=${row.resolution ? 'done' : row.parked ? 'pending' : 'failed'}>${row.resolution ?? (row.parked ? 'parked' : 'dead')}</${Badge}>`,
    },
    { label: 'Received', num: true, cell: row => html`<${Time} at=${row.receivedAt} />` },
    {
      label: 'Actions',
      num: true,
      cell: row =>
        row.resolution === null
          ? html`<${ActionButton} slim busy=${busy} onClick=${() => replay(row)}>Replay</${ActionButton}> <${ActionButton} slim role="administer" tone="danger" onClick=${() => drop(row)}>Drop</${ActionButton}>`
          : html`<${Time} at=${row.resolvedAt} />`,
    },
  ]
  return html`
    <${Head} title="Dead events" lead="Events that a service could not apply as they are. Replay handles one again as if it had just come; parked ones are replayed by a newer release.">
      <label class="small"><input type="checkbox" checked=${resolved} onChange=${event => showResolved(event.target.checked)} /> Show resolved</label>
      <${ReplayAll} rows=${rows} again=${again} /></${Head}>
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <${Unanswered} of=${data} />
    <section class="card flush">${
      !data
        ? html`<p class="loading">Asking every service…</p>`
        : rows.length === 0
          ? html`<${Empty} title="No dead events">Every event that came was applied.</${Empty}>`
          : html`<${Table} label="Dead events" columns=${columns} rows=${rows} keyOf=${row => `${row.service} ${row.id}`} />`
    }
    ${
      data?.some(({ next }) => next) &&
      html`<div class="pager"><span>The oldest of each service</span>
        <span class="end"><button type="button" class="act slim" disabled=${loading} onClick=${() => setMost(most + 1)}>Show the next</button></span></div>`
    }</section>
    ${
      open &&
      html`<${Event} ...${open} onClose=${() => set(null)} onReplay=${() => replay(open)} onDrop=${() => {
        drop(open)
        set(null)
      }} />`
    }
    ${
      dropping &&
      html`<${Confirm} title=${`Drop event ${dropping.id} of ${dropping.service}?`} text=${dropping.id} label="Drop"
        action=${typed => post(dropping.service, `dead/${dropping.id}/drop`, { confirm: typed.trim() })} onClose=${() => drop(null)}
        onDone=${() => {
          say(`Event ${dropping.id} is dropped.`)
          drop(null)
          again()
        }}><p>It is marked as not needed and never handled. What it asked for does not happen.</p></${Confirm}>`
    }`
}
