// The PostgreSQL instances: how full each is, and how its tenants are moved away.
import { ActionButton, Confirm } from '../actions.js'
import { ofService, post } from '../api.js'
import { Command, Place } from '../commands.js'
import { html, useState } from '../html.js'
import { Badge, Bar, bytes, Dialog, Empty, Failure, Head, plural, say, Table, useData } from '../parts.js'
import { fromEach, Unanswered } from './dead.js'

const columns = [
  {
    label: 'Instance',
    cell: row =>
      html`<b>${row.service}</b> <span>${row.name}</span><span class="under mono wrap">${row.host}:${row.port}</span>`,
  },
  {
    label: 'State',
    cell: row =>
      !row.reached
        ? html`<${Badge} sign="down" title=${row.error}>down</${Badge}><span class="under wrap">${row.error}</span>`
        : row.breaker
          ? html`<${Badge} sign="warn" title=${row.breaker}>breaker open</${Badge}><span class="under wrap">${row.breaker}</span>`
          : row.fullSince
            ? html`<${Badge} sign="warn" title=${`Marked by ${row.fullBy}`}>full</${Badge}><span class="under">takes no new tenants</span>`
            : html`<${Badge} sign="up" />`,
  },
  { label: 'Tenants', num: true, cell: row => row.tenants },
  { label: 'Size', num: true, cell: row => bytes(row.bytes) },
  {
    label: 'Connections',
    cell: row =>
      row.connections === null
        ? '–'
        : html`<span class="nowrap">${row.connections} of ${row.maxConnections}</span> <${Bar} value=${row.connections} of=${row.maxConnections} label=${`${row.connections} of ${row.maxConnections} connections`} />`,
  },
  { label: 'PostgreSQL', cell: row => row.version?.split(' ')[0] ?? '–' },
]

const ways = {
  online: 'They are served meanwhile: at its switch the statements of each wait for a moment.',
  frozen:
    'The service has no administrator’s password, so the writers of each tenant are refused while it is copied. By the command, with INIT_PASSWORD, they are served meanwhile.',
}

/** The plan first, with its count, which the service checks. */
const Drain = ({ row, onClose }) => {
  const { service, name } = row
  const {
    data: plan,
    error,
    again,
  } = useData(() => ofService(service, `instances/${name}/drain`), [service, name], { every: null })
  const title = `Drain ${name} of ${service}?`
  if (!plan)
    return html`<${Dialog} title=${title} onClose=${onClose}>
      ${error ? html`<${Failure} error=${error} again=${again} />` : html`<p class="loading">Asking ${service} for its plan…</p>`}
      <div class="ends"><button type="button" class="act" onClick=${onClose}>Close</button></div></${Dialog}>`
  const begin = async typed => {
    try {
      return await post(service, `instances/${name}/drain`, { count: plan.tenants, confirm: typed.trim() })
    } catch (error) {
      if (error.code === 'COUNT_CHANGED') again()
      throw error
    }
  }
  const targets = Object.entries(plan.to).map(([to, count]) => `${count} to ${to}`)
  return html`<${Confirm} title=${title} text=${name} label=${`Drain ${plural(plan.tenants, 'tenant')}`} action=${begin} onClose=${onClose}
    onDone=${({ run }) => {
      say(`${service} moves ${plural(run.tenants, 'tenant')} away from ${name}.`)
      location.hash = `#/runs?${new URLSearchParams({ service, run: run.id })}`
    }}>
    <p>${plan.unfinished ? html`Goes on with <code>${plan.unfinished}</code>. It` : 'It'} marks ${name} full, so that no new tenant goes there, and moves
      <b> ${plural(plan.tenants, 'tenant')}</b>${plan.tenants > 0 && ` (${bytes(plan.bytes)}): ${targets.join(', ')}`}.</p>
    <p>${ways[plan.way]}</p>
    ${
      plan.staying > 0 &&
      html`<p>${plural(plan.staying, 'tenant')} cannot be moved now:</p>
      <ul class="findings">${plan.stays.map(({ id, why }) => html`<li><b>${id}</b><span class="wrap">${why}</span></li>`)}</ul>`
    }
    <p class="soft small">The old databases stay there, closed. A tenant that cannot be moved keeps no other from being moved.</p></${Confirm}>`
}

export const Instances = ({ session }) => {
  const [draining, drain] = useState(null)
  const { data, error, again } = useData(() => fromEach(session.services, 'instances'), [])
  const rows = (data ?? []).flatMap(({ service, items }) => items.map(item => ({ service, ...item })))
  const drains = rows.filter(({ drain }) => drain)
  return html`
    <${Head} title="Instances" lead="A new tenant goes to the instance of a service with the fewest tenants that answers and is not marked full." />
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <${Unanswered} of=${data} />
    <section class="card flush">${!data ? html`<p class="loading">Asking every service…</p>` : rows.length === 0 ? html`<${Empty} title="No service answers" />` : html`<${Table} label="Instances" columns=${columns} rows=${rows} keyOf=${row => `${row.service} ${row.name}`} />`}</section>
    <section class="card"><div class="titled" style="margin-bottom:8px"><h2>Drain</h2>${drains.length > 0 && html`<span class="end"><${Place} /></span>`}</div>${
      drains.length === 0
        ? html`<p class="soft">Each service has one instance. With more of them in <code>DB_INSTANCES</code>, tenants are moved from one to another while they are served.</p>`
        : html`<p class="soft">Marks an instance full and moves all its tenants to the others. The service does it, one tenant at a time, or the command, which also has <code>--dry-run</code>.</p>${drains.map(
            row =>
              html`<div class="titled" style="margin-top:12px"><h3>${row.service} ${row.name}</h3>${row.drainHere && html`<span class="end"><${ActionButton} role="administer" tone="danger" onClick=${() => drain(row)}>Drain ${row.name}…</${ActionButton}></span>`}</div><${Command} text=${row.drain} />`,
          )}`
    }</section>
    ${draining && html`<${Drain} row=${draining} onClose=${() => drain(null)} />`}`
}
