// One tenant: what each service has of it, what happened to it and who did it, and what can be done.

import { TenantActions } from '../actions.js'
import { ofService } from '../api.js'
import { html, useEffect, useRef, useState } from '../html.js'
import { on } from '../live.js'
import { Badge, bytes, Empty, Failure, Head, useData } from '../parts.js'
import { absolute, duration, Time } from '../times.js'

/** What a person does about a failure, where the message has not said it. */
const cures = [
  [/53100|No space left/i, 'The disk of its instance is full: free room, then retry.'],
  [
    /53300|too many (clients|connections)/i,
    'The server has no free connection: raise max_connections or lower the budget.',
  ],
  [
    /ECONNREFUSED|ETIMEDOUT|ENOTFOUND|57P0|terminat/i,
    'Its PostgreSQL was not reached: it is tried again by itself once the server answers.',
  ],
  [/foreign|mark/i, 'Its database’s name is taken by another: inspect it, rename it, then retry.'],
  [/migration|syntax|column|relation/i, 'A migration failed: correct it in a new release, then retry.'],
]
const cureOf = text =>
  cures.find(([pattern]) => pattern.test(text))?.[1] ?? 'Retry it; see the log of the service for all of it.'

const Steps = ({ steps }) => {
  if (!steps?.length) return null
  const times = steps.map(({ at }) => new Date(at).getTime())
  return html`<ol class="steps" aria-label="Steps">${steps.map(
    ({ step, at }, index) =>
      html`<li title=${absolute(at)}><b>${step}</b><span class="soft">${index === 0 ? html`<${Time} at=${at} />` : `+${duration(times[index] - times[index - 1])}`}</span></li>`,
  )}</ol>`
}

const Service = ({ name, progress, detail, error, target }) => {
  const row = detail?.registry
  const failed = progress?.lastError ?? row?.lastError
  return html`<section class="card"><div class="titled" style="margin-bottom:8px"><h2>${name}</h2>
    <${Badge} sign=${row?.moving ? 'running' : (progress?.status ?? 'pending')}>${row?.moving ? `moving: ${row.moving}` : (progress?.status ?? 'pending')}</${Badge}></div>
    <${Steps} steps=${progress?.steps} />
    ${failed && html`<div class="error-text"><b>${row?.step ?? progress?.step}:</b> ${failed}</div><p class="small">${cureOf(failed)}</p>`}
    ${error && html`<p class="note" role="status">${error.message}</p>`}
    <dl class="facts">
      <dt>Schema</dt><dd>${row ? html`${row.schemaVersion ?? '–'}${target > (row.schemaVersion ?? 0) ? html` of ${target} <span class="behind">(behind)</span> <a href=${`#/runs?${new URLSearchParams({ start: 'migrate', service: name, tenant: row.id })}`}>Migrate</a>` : ''}` : '–'}</dd>
      <dt>Instance</dt><dd>${row?.instance ?? '–'}</dd>
      <dt>Database</dt><dd class="wrap mono">${detail?.database.name ?? '–'}</dd>
      <dt>Size</dt><dd>${bytes(detail?.database.bytes)}</dd>
      <dt>Connections</dt><dd>${detail ? html`${detail.connections.open} here${detail.connections.waiting > 0 ? `, ${detail.connections.waiting} waiting` : ''}${detail.database.sessions === null ? '' : html` <span class="soft">· ${detail.database.sessions} on the server</span>`}` : '–'}</dd>
      <dt>Attempts</dt><dd>${row?.attempts ?? progress?.attempts ?? '–'}${(progress?.nextTryAt ?? row?.nextAttemptAt) && html` · next try <${Time} at=${progress?.nextTryAt ?? row.nextAttemptAt} />`}</dd>
      <dt>Ready</dt><dd><${Time} at=${row?.readyAt ?? progress?.readyAt} /></dd>
      <dt>Backup</dt><dd class="wrap">${detail ? (detail.backup ? html`<${Time} at=${detail.backup.at} /> <span class="soft">to ${detail.backup.target}</span>` : html`<span class="soft">none in 90 days</span>`) : '–'}</dd>
    </dl></section>`
}

function sentence({ kind, result, detail = {}, service }) {
  if (kind === 'tenant') {
    const changes = [
      detail.was !== undefined && detail.was !== detail.lifecycle
        ? `${detail.was} → ${detail.lifecycle}`
        : detail.was === undefined && `created, ${detail.lifecycle}`,
      detail.wasProvisioned !== undefined &&
        detail.wasProvisioned !== detail.provisioned &&
        `database ${detail.wasProvisioned} → ${detail.provisioned}`,
    ].filter(Boolean)
    return `${changes.join(', ') || 'changed'}, version ${detail.version} (${service})`
  }
  if (detail.console) return `${detail.console} ${detail.page ?? ''} in the console`
  if (detail.route) return `${detail.method} ${detail.route}: ${result} (${service})`
  return `${kind}: ${result} (${service})`
}

const History = ({ title, rows, empty }) =>
  html`<section class="card flush"><h2>${title}</h2>${
    rows.length === 0
      ? html`<${Empty} title=${empty} />`
      : html`<ol class="history">${rows.map(row => html`<li><${Time} at=${row.at} /><div class="wrap">${sentence(row)} <span class="soft">by ${row.actor ?? 'the service'}</span></div></li>`)}</ol>`
  }</section>`

export const Tenant = ({ id, session }) => {
  const { identity, services } = session
  const inPath = encodeURIComponent(id)
  const {
    data: tenant,
    error,
    again,
    set,
  } = useData(() => ofService(identity, `fleet/${inPath}`), [id], { every: 'reset' })
  const [details, setDetails] = useState({})
  const due = useRef(null)
  const known = useRef(details)
  known.current = details

  const readEach = read =>
    Promise.all(
      services.map(async name => {
        try {
          const detail = await read(name)
          setDetails(before => ({ ...before, [name]: { detail } }))
        } catch (error) {
          setDetails(before => ({ ...before, [name]: { ...before[name], error } }))
        }
      }),
    )
  /** Each is a row of the service's audit log. */
  const detailOf = name => ofService(name, `tenants/${inPath}`)
  const readDetails = () => readEach(detailOf)
  /** Its registry rows alone, which are no view of the tenant; all of it where a database was made or dropped. */
  const refresh = () =>
    readEach(async name => {
      const before = known.current[name]?.detail
      if (!before) return detailOf(name)
      const { schemaVersion, items } = await ofService(name, `tenants?ids=${inPath}`)
      const [registry = null] = items
      if (registry?.provisioned !== before.registry?.provisioned) return detailOf(name)
      return { ...before, schemaVersion, registry }
    })
  useEffect(() => {
    readDetails()
    const off = on('tenants', rows => {
      const changed = rows.find(row => row.id === id)
      if (!changed) return
      set(before => ({ ...before, data: { ...before.data, ...changed } }))
      // What its services have changes with it, a moment later.
      due.current ??= setTimeout(() => {
        due.current = null
        refresh()
      }, 1_500)
    })
    const offReset = on('reset', refresh)
    // A service that did not answer, and does by now.
    const offOverview = on('overview', overview => {
      if (services.some(name => known.current[name]?.error && overview[name]?.overview)) refresh()
    })
    return () => {
      off()
      offReset()
      offOverview()
      clearTimeout(due.current)
    }
  }, [id])

  if (error && !tenant)
    return html`<${Head} title=${id} />${error.status === 404 ? html`<section class="card"><${Empty} title="No such tenant">Identity does not know ${id}. <a href=${`#/tenants?q=${encodeURIComponent(id)}`}>Search for it</a></${Empty}></section>` : html`<${Failure} error=${error} again=${again} />`}`
  if (!tenant) return html`<${Head} title=${id} /><p class="loading">Reading the tenant…</p>`
  const all = [...new Set([...Object.keys(tenant.services), ...services])]
  const audit = Object.entries(details)
    .flatMap(([service, { detail }]) => (detail?.audit ?? []).map(row => ({ ...row, service })))
    .sort((a, b) => (a.at < b.at ? 1 : -1))
  const lifecycle = audit
    .filter(({ kind, detail }) => kind === 'tenant' && (detail.was !== detail.lifecycle || detail.was === undefined))
    .slice(0, 15)
  return html`
    <p class="small" style="margin-bottom:4px"><a href="#/tenants">Tenants</a></p>
    <${Head} title=${tenant.id}>
      ${tenant.lifecycle !== 'deleted' && ['backup', 'move'].map(start => html`<a class="button" href=${`#/runs?${new URLSearchParams({ start, tenant: tenant.id })}`}>${start === 'move' ? 'Move…' : 'Back up…'}</a>`)}
      <${TenantActions} tenant=${tenant} identity=${identity} again=${() => {
        again()
        readDetails()
      }} />
    </${Head}>
    <section class="card" style="margin-bottom:16px"><dl class="facts across">
      <div><dt>Status</dt><dd class="badges" aria-live="polite"><${Badge} sign=${tenant.status} /><${Badge} sign=${tenant.lifecycle} /></dd></div>
      <div><dt>Name</dt><dd class="wrap">${tenant.name}</dd></div>
      <div><dt>Domain</dt><dd>${tenant.domain ?? html`<span class="soft">none</span>`}</dd></div>
      <div><dt>Version</dt><dd>${tenant.version}</dd></div>
      <div><dt>Created</dt><dd><${Time} at=${tenant.createdAt} /></dd></div>
      ${tenant.deletedAt && html`<div><dt>Removed</dt><dd><${Time} at=${tenant.deletedAt} /></dd></div><div><dt>Databases dropped</dt><dd>${tenant.purgeAfter ? html`<${Time} at=${tenant.purgeAfter} />` : 'not yet decided'}</dd></div>`}
    </dl></section>
    <div class="grid" style="margin-bottom:16px">${all.map(
      name =>
        html`<${Service} key=${name} name=${name} progress=${tenant.services[name]} detail=${details[name]?.detail} error=${details[name]?.error} target=${details[name]?.detail?.schemaVersion} />`,
    )}</div>
    <div class="grid"><${History} title="Lifecycle" rows=${lifecycle} empty="No change among the newest rows" />
      <${History} title="Recent audit rows" rows=${audit.filter(row => !lifecycle.includes(row)).slice(0, 30)} empty="No audit rows" /></div>`
}
