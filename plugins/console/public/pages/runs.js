// Runs over many tenants: migrations, moves, imports, backups, with how far each is, the outcome per tenant, and how to go on with
// it or take it back: a migration from here, the others by the line of the command.
import { ActionButton, Confirm, useWork } from '../actions.js'
import { ofService, post } from '../api.js'
import { Command, Place } from '../commands.js'
import { html, useEffect, useRef, useState } from '../html.js'
import { Badge, Bar, bytes, Dialog, Empty, Failure, Head, plural, say, Table, useData } from '../parts.js'
import { duration, Time } from '../times.js'
import { fromEach, Unanswered } from './dead.js'
import { StartRun } from './start-run.js'

const finished = ['done', 'ready', 'switched', 'following', 'returned', 'dropped', 'rolled_back', 'undone', 'moved']
const labels = {
  migrate: 'Migration',
  move: 'Move',
  import: 'Import',
  backup: 'Backup',
  drain: 'Drain',
  rebalance: 'Rebalance',
}
const totals = ({ counts, kind }) => {
  const entries = Object.entries(counts)
  const of = names => entries.filter(([name]) => names.includes(name)).reduce((sum, [, count]) => sum + count, 0)
  const all = entries.reduce((sum, [, count]) => sum + count, 0)
  return { all, done: of(finished), failed: of(['failed']), what: kind === 'backup' ? 'archive' : 'tenant' }
}

const signOf = state => (finished.includes(state) ? 'done' : state === 'failed' ? 'failed' : 'pending')
const words = state => state.replaceAll('_', ' ')

const tenantColumns = (kind, onClose) => [
  {
    label: 'Tenant',
    cell: row =>
      row.id === null ? 'central databases' : html`<a href=${`#/tenants/${row.id}`} onClick=${onClose}>${row.id}</a>`,
  },
  { label: 'State', cell: row => html`<${Badge} sign=${signOf(row.state)}>${words(row.state)}</${Badge}>` },
  kind === 'backup'
    ? { label: 'Size', num: true, cell: row => bytes(row.bytes) }
    : {
        label: kind === 'move' ? 'Writes refused' : 'Took',
        num: true,
        cell: row => (row.ms === null ? '–' : duration(row.ms)),
      },
  { label: 'Error', cell: row => html`<span class="wrap">${row.error ?? ''}</span>` },
]

/** What the service does itself with a migration or a drain. */
const OwnActions = ({ run, again, onRollBack }) => {
  const [busy, work] = useWork()
  const of = verb => () => post(run.service, `runs/${run.id}/${verb}`)
  const left = run.state === 'interrupted' || run.state === 'stopped'
  const { all, done } = totals(run)
  return html`<div class="titled">
    ${run.state === 'running' && html`<${ActionButton} role="administer" tone="danger" busy=${busy} onClick=${() => work(of('stop'), `${run.id} stops after the tenants under way.`).then(again)}>Stop</${ActionButton}>`}
    ${left && (done < all || run.state === 'interrupted') && html`<${ActionButton} role="administer" first busy=${busy} onClick=${() => work(of('resume'), `${run.service} goes on with ${run.id}.`).then(again)}>Resume in ${run.service}</${ActionButton}>`}
    ${run.kind === 'migrate' && run.state !== 'rolled_back' && run.state !== 'running' && html`<${ActionButton} role="administer" tone="danger" busy=${busy} onClick=${onRollBack}>Roll back…</${ActionButton}>`}
    ${run.state === 'interrupted' && html`<${ActionButton} role="administer" busy=${busy} onClick=${() => work(of('stop'), `${run.id} is marked as stopped.`).then(again)}>Mark as stopped</${ActionButton}>`}
  </div>`
}

const Run = ({ run, again, onClose, onRollBack }) => {
  const { data, error } = useData(() => ofService(run.service, `runs/${run.id}`), [run.service, run.id])
  const { all, done, failed, what } = totals(run)
  const lines = [
    ...(run.resume ? [{ what: 'Go on', command: run.resume }] : []),
    ...(run.rollback ? [{ what: 'Take it back', command: run.rollback }] : []),
    ...run.next,
  ]
  return html`<${Dialog} title=${`${labels[run.kind]} ${run.id} in ${run.service}`} onClose=${onClose} large>
    <div class="titled progress" aria-live="polite"><${Badge} sign=${run.state} /><${Bar} value=${done} of=${all} label=${`${done} of ${plural(all, what)} done`} />
      <span>${done} of ${plural(all, what)}${failed > 0 && `, ${failed} failed`}</span>${run.reason && html`<span class="soft wrap">${run.kind === 'backup' ? `by ${run.reason}` : run.reason}</span>`}</div>
    ${run.cure && html`<p class="note">${run.cure}</p>`}
    ${run.here && html`<${OwnActions} run=${run} again=${again} onRollBack=${onRollBack} />`}
    ${error && html`<${Failure} error=${error} />`}
    ${
      data
        ? data.items.length === 0
          ? html`<${Empty} title=${`No ${what}s in this run`} />`
          : html`<${Table} label=${`${labels[run.kind]} ${run.id}, by tenant`} columns=${tenantColumns(run.kind, onClose)} rows=${data.items} keyOf=${({ id }) => id ?? ''} />`
        : !error && html`<p class="loading">Reading the run…</p>`
    }
    ${
      lines.length > 0 &&
      html`<div class="by-command"><div class="titled"><h3>By the command</h3><span class="end"><${Place} /></span></div>
        ${lines.map(one => html`<p class="soft small">${one.what}</p><${Command} text=${one.command} />`)}</div>`
    }
    <div class="ends"><button type="button" class="act" onClick=${onClose}>Close</button></div>
  </${Dialog}>`
}

const RollBack = ({
  run,
  onClose,
  onDone,
}) => html`<${Confirm} title=${`Roll back ${run.id}?`} text=${run.id} label="Roll back"
  action=${typed => post(run.service, `runs/${run.id}/rollback`, { confirm: typed.trim() })} onClose=${onClose}
  onDone=${onDone}><p>Every tenant that it has migrated in ${run.service} goes back to the version it had, by the undo files. What was written into what
  they take away is lost.</p></${Confirm}>`

const columns = open => [
  {
    label: 'Run',
    cell: row =>
      html`<button type="button" class="act link" onClick=${() => open(row)}>${row.id}</button><span class="under">${labels[row.kind]} in ${row.service}</span>`,
  },
  { label: 'To', cell: row => html`<span class="wrap">${row.goal}</span>` },
  {
    label: 'State',
    cell: row =>
      html`<${Badge} sign=${row.state} />${row.reason && html`<span class="under wrap">${row.kind === 'backup' ? `by ${row.reason}` : row.reason}</span>`}
        ${(row.state === 'running' || row.state === 'interrupted') && row.changedAt && html`<span class="under">last change <${Time} at=${row.changedAt} /></span>`}`,
  },
  {
    label: 'Progress',
    cell: row => {
      const { all, done, failed, what } = totals(row)
      return html`<${Bar} value=${done} of=${all} label=${`${done} of ${plural(all, what)} done`} /> <span class="nowrap">${done} of ${all}</span>${failed > 0 && html`<span class="under">${plural(failed, what)} failed</span>`}`
    },
  },
  { label: 'Began', num: true, cell: row => html`<${Time} at=${row.startedAt} />` },
  {
    label: 'Took',
    num: true,
    cell: row => (row.endedAt ? duration(new Date(row.endedAt) - new Date(row.startedAt)) : '–'),
  },
]

const keyOf = ({ service, id }) => `${service} ${id}`

export const Runs = ({ session, query }) => {
  const { data, error, again } = useData(() => fromEach(session.services, 'runs'), [])
  const preset = Object.fromEntries(query)
  const [starting, start] = useState(Boolean(preset.start))
  // An address with a start, of another page or typed.
  useEffect(() => {
    if (preset.start) start(true)
  }, [query.toString()])
  // Also by its address, of the page that has begun it.
  const [open, set] = useState(preset.run ? { service: preset.service, id: preset.run } : null)
  const close = () => {
    set(null)
    if (preset.run) location.replace('#/runs')
  }
  const [rollingBack, rollBack] = useState(null)
  const rows = (data ?? [])
    .flatMap(({ service, items }) => items.map(item => ({ service, ...item })))
    .sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1))
  // As it is now: a run is followed while its dialog is open.
  const last = useRef(null)
  if (open) last.current = rows.find(row => keyOf(row) === keyOf(open)) ?? last.current
  // Of a service that does not answer for a moment it stays as it was.
  const shown = open && last.current && keyOf(last.current) === keyOf(open) ? last.current : null
  const closeStart = () => {
    start(false)
    // Also by the address, so that neither a reload nor the next start has it again.
    if (preset.start) location.replace('#/runs')
  }
  return html`
    <${Head} title="Runs" lead="Migrations, moves, imports and backups, by the journals of the services. Migrations and drains are started, stopped and gone on with here; the others are the command’s, and each has its line.">
      <button type="button" class="act first" onClick=${() => start(true)}>Start a run…</button></${Head}>
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <${Unanswered} of=${data} />
    <section class="card flush">${
      !data
        ? html`<p class="loading">Asking every service…</p>`
        : rows.length === 0
          ? html`<${Empty} title="No runs yet">Start one here, or by <code>distributed-tenant migrate</code>, <code>move</code>, <code>import-hybrid</code> or <code>backup</code>: it appears in this list.</${Empty}>`
          : html`<${Table} label="Runs" columns=${columns(set)} rows=${rows} keyOf=${keyOf} />`
    }</section>
    ${
      starting &&
      html`<${StartRun} services=${session.services} preset=${preset} onClose=${closeStart} onStarted=${(
        service,
        run,
      ) => {
        closeStart()
        say(`${service} migrates ${plural(run.tenants, 'tenant')} to version ${run.target}.`)
        set({ service, id: run.id })
        again()
      }} />`
    }
    ${
      shown &&
      !rollingBack &&
      html`<${Run} key=${keyOf(shown)} run=${shown} again=${again} onClose=${close} onRollBack=${() => rollBack(shown)} />`
    }
    ${
      rollingBack &&
      html`<${RollBack} run=${rollingBack} onClose=${() => rollBack(null)} onDone=${() => {
        say(`${rollingBack.service} takes ${rollingBack.id} back.`)
        rollBack(null)
        again()
      }} />`
    }`
}
