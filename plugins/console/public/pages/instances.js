// The PostgreSQL instances: how full each is, and how a tenant is moved away.
import { Command, Place } from '../commands.js'
import { html } from '../html.js'
import { Badge, Bar, bytes, Empty, Failure, Head, Table, useData } from '../parts.js'
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

export const Instances = ({ session }) => {
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
        : html`<p class="soft">Marks it full and moves all its tenants away; they are served meanwhile. With --dry-run it shows the plan.</p>${drains.map(({ service, name, drain }) => html`<h3 style="margin-top:12px">${service} ${name}</h3><${Command} text=${drain} />`)}`
    }</section>`
}
