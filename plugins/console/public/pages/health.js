// Is it us? One line for each service, and every finding with its cure. It comes with the live view.
import { read } from '../api.js'
import { Cure, Place as Shell } from '../commands.js'
import { html, useEffect, useState } from '../html.js'
import { latestOverview, on } from '../live.js'
import { Badge, Bar, Empty, Failure, Head, Icon, plural, Table } from '../parts.js'
import { duration, Time } from '../times.js'

export function useOverview() {
  const [overview, set] = useState(latestOverview())
  const [error, fail] = useState(null)
  useEffect(() => {
    const off = on('overview', found => {
      set(found)
      // What failed at first works by now.
      fail(null)
    })
    if (!latestOverview()) read('overview').then(set, fail)
    return off
  }, [])
  return { overview, error }
}

/** Every finding of every service; one that does not answer is the first of them. */
export function findingsOf(overview) {
  return Object.entries(overview).flatMap(([service, { overview: found, error }]) =>
    error
      ? [{ service, severity: 'bad', what: `${service} does not answer`, about: '', cure: error }]
      : found.findings.map(one => ({ service, ...one })),
  )
}

/** The page where a finding is seen or cured. */
const places = [
  [/^Events were set aside/, () => ['Open Dead events', '#/dead']],
  [/^Schemas are behind/, service => ['Start a migration', `#/runs?start=migrate&service=${service}`]],
  [/^Tenants are not provisioned/, service => ['Show them', `#/tenants?status=failed&service=${service}`]],
  [/^The connection budget/, () => ['Open Connections', '#/connections']],
  [/instance/i, () => ['Open Instances', '#/instances']],
  [/^A run was interrupted/, () => ['Open Runs', '#/runs']],
  [/^Drift/, () => ['Open Doctor', '#/doctor']],
]
const Place = ({ what, service }) => {
  const [label, href] = places.find(([pattern]) => pattern.test(what))?.[1](service) ?? []
  return href ? html` <a href=${href}>${label}</a>` : null
}

const lagOf = ({ consumers }) => {
  const lags = Object.values(consumers ?? {}).filter(Boolean)
  return consumers === null ? null : lags.reduce((sum, { pending, ackPending }) => sum + pending + ackPending, 0)
}

const partNames = { central: 'PostgreSQL', cache: 'Redis', events: 'NATS', provisioning: 'Provisioning' }

const columns = [
  {
    label: 'Service',
    cell: ({ service, found }) =>
      html`<b>${service}</b>${found && html`<span class="under">up <${Up} seconds=${found.uptimeSeconds} /></span>`}`,
  },
  {
    label: 'Parts',
    cell: ({ found, error }) =>
      error
        ? html`<${Badge} sign="down">does not answer</${Badge}>`
        : html`<span class="badges">${Object.entries(found.parts)
            // The breakers beside it say the same.
            .filter(([part, { status }]) => part !== 'provisioning' || status !== 'up')
            .map(
              ([part, { status, detail, latencyMs }]) =>
                html`<${Badge} sign=${status} plain=${status === 'up'} title=${detail ?? (latencyMs === undefined ? status : `${status}, ${latencyMs} ms`)}>${partNames[part]}<span class=${status === 'up' ? 'sr' : ''}> ${status}</span></${Badge}>`,
            )}</span>`,
  },
  {
    label: 'Breakers',
    cell: ({ found }) => {
      if (!found) return '–'
      const open = found.instances.filter(({ breaker }) => breaker !== null)
      return open.length === 0
        ? html`<${Badge} sign="ok" plain>closed</${Badge}>`
        : open.map(({ name, breaker }) => html`<${Badge} sign="warn" title=${breaker}>${name} open</${Badge}>`)
    },
  },
  {
    label: 'Budget',
    cell: ({ found }) => {
      if (!found) return '–'
      const { inUse, budget, waiting } = found.connections
      return html`<span class="nowrap">${inUse} of ${budget}</span> <${Bar} value=${inUse} of=${budget} label=${`${inUse} of ${budget} connections in use`} />
        ${waiting > 0 && html`<span class="under">${waiting} waiting</span>`}`
    },
  },
  { label: 'Event lag', num: true, cell: ({ found }) => (found ? (lagOf(found) ?? '–') : '–') },
  {
    label: 'Oldest outbox row',
    num: true,
    cell: ({ found }) => {
      const outbox = found?.figures?.outbox
      if (!outbox) return '–'
      return outbox.waiting === 0
        ? 'empty'
        : html`<span class="nowrap">${duration(outbox.oldestSeconds * 1000)}</span><span class="under">${outbox.waiting} waiting</span>`
    },
  },
  {
    label: 'Dead events',
    num: true,
    cell: ({ found }) =>
      found?.figures
        ? html`${found.figures.deadEvents > 0 ? html`<a href="#/dead">${found.figures.deadEvents}</a>` : '0'}`
        : '–',
  },
  {
    label: 'Drift',
    num: true,
    cell: ({ found }) =>
      !found?.drift.length
        ? (found?.drift.length ?? '–')
        : html`<a href="#/doctor" title=${found.drift.map(({ kind, id }) => `${kind.replaceAll('_', ' ')}: ${id}`).join('\n')}>${found.drift.length}</a>`,
  },
]

const Up = ({ seconds }) => duration(seconds * 1000)

export const Health = () => {
  const { overview, error } = useOverview()
  if (error && !overview) return html`<${Head} title="Is it us?" /><${Failure} error=${error} />`
  if (!overview) return html`<${Head} title="Is it us?" /><p class="loading">Asking every service…</p>`
  const rows = Object.entries(overview).map(([service, { overview: found, error }]) => ({ service, found, error }))
  const findings = findingsOf(overview).sort((a, b) => (a.severity === b.severity ? 0 : a.severity === 'bad' ? -1 : 1))
  const bad = findings.filter(({ severity }) => severity === 'bad').length
  const tone = bad > 0 ? 'bad' : findings.length > 0 ? 'warn' : 'good'
  const at = rows
    .map(({ found }) => found?.at)
    .filter(Boolean)
    .sort()[0]
  return html`
    <${Head} title="Is it us?" />
    <div class=${`verdict ${tone}`}>
      <${Icon} name=${{ good: 'check', warn: 'alert', bad: 'cross' }[tone]} />
      <div><strong role="status">${
        {
          good: 'It is not us: every part of every service works.',
          warn: `Tenants are served. ${plural(findings.length, 'thing')} to look at.`,
          bad: `It is us: ${plural(bad, 'finding')} that ${bad === 1 ? 'affects' : 'affect'} tenants.`,
        }[tone]
      }</strong><div class="soft small">${at ? html`As of <${Time} at=${at} />` : 'No service answers'}</div></div>
    </div>
    <div class="stack">
      <section class="card flush"><h2>Services</h2><${Table} label="Services" columns=${columns} rows=${rows} keyOf=${({ service }) => service} /></section>
      <section class="card flush"><div class="titled"><h2>Findings</h2>${findings.some(({ cure }) => cure.includes('`distributed-tenant ')) && html`<span class="end"><${Shell} /></span>`}</div>${
        findings.length === 0
          ? html`<${Empty} title="Nothing is wrong">Budget, events, outbox and schemas of all services are as they should be.</${Empty}>`
          : html`<ul class="findings">${findings.map(
              one => html`<li><${Badge} sign=${one.severity}>${one.severity === 'bad' ? 'fault' : 'warning'}</${Badge}>
                <div><b>${one.what}</b> <span class="soft">in ${one.service}</span>${one.about && html` · <span class="wrap">${one.about}</span>`}</div>
                <div class="cure"><${Cure} text=${one.cure} /><${Place} ...${one} /></div></li>`,
            )}</ul>`
      }</section>
    </div>`
}
