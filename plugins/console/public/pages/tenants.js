// Tenants by services: searched, filtered and sorted on the server, with the filter in the address. A change that comes in
// replaces its row in place; the order stays until the operator asks for it.

import { ActionButton, CreateTenant } from '../actions.js'
import { ofService, read } from '../api.js'
import { BulkActions } from '../bulk-actions.js'
import { html, useEffect, useMemo, useRef, useState } from '../html.js'
import { on } from '../live.js'
import { Badge, Empty, Failure, Head, plural, Table, useData } from '../parts.js'
import { Time } from '../times.js'

const PAGE = 50
const filters = [
  ['all', 'All', {}],
  ['ready', 'Ready', { status: 'ready' }],
  ['pending', 'Pending', { status: 'pending' }],
  ['failed', 'Failed', { status: 'failed' }],
  ['suspended', 'Suspended', { lifecycle: 'suspended' }],
  ['deleted', 'Deleted', { lifecycle: 'deleted' }],
]

const pick = (query, names) =>
  Object.fromEntries(names.flatMap(name => (query.get(name) ? [[name, query.get(name)]] : [])))

const joined = parts => parts.filter(Boolean).flatMap((part, at) => (at === 0 ? [part] : [' · ', part]))

/** One service of a tenant: its status, and what an operator asks next. */
const Cell = ({ progress, row, target, unreachable }) => {
  const status = progress?.status ?? 'pending'
  const version = row?.schemaVersion
  return html`<${Badge} sign=${row?.moving ? 'running' : status} plain=${status === 'ready' && !row?.moving} title=${progress?.lastError ?? undefined}>${row?.moving ? 'moving' : status}</${Badge}>
    <span class="under">${
      unreachable
        ? 'service does not answer'
        : joined([
            status === 'pending' || status === 'failed' ? progress?.step && `at ${progress.step}` : null,
            version !== undefined &&
              version !== null &&
              (target > version
                ? html`<span class="behind">schema ${version} of ${target}</span>`
                : `schema ${version}`),
            row && row.instance !== 'main' && `on ${row.instance}`,
            progress?.attempts > 1 && plural(progress.attempts, 'attempt'),
          ])
    }${progress?.nextTryAt && html` · next try <${Time} at=${progress.nextTryAt} />`}</span>`
}

export const Tenants = ({ query, session }) => {
  const { identity } = session
  // A service alone filters nothing: it says whose status is meant.
  const filter = pick(query, ['q', 'status', 'lifecycle', ...(query.get('status') ? ['service'] : [])])
  const offset = Number(query.get('offset') ?? 0)
  const sort = { by: query.get('sort') ?? 'id', descending: query.get('order') === 'desc' }
  const text = query.toString()
  const { data, error, loading, again, set } = useData(
    () =>
      read(
        `tenants?${new URLSearchParams({ ...pick(query, ['q', 'status', 'service', 'lifecycle', 'sort', 'order', 'offset']), limit: PAGE })}`,
      ),
    [text],
    { every: 'reset' },
  )
  const counts = useData(() => ofService(identity, 'fleet/counts'), [], { every: 'reset' })
  const [elsewhere, setElsewhere] = useState(0)
  const [fresh, setFresh] = useState(new Set())
  const [said, announce] = useState('')
  const [open, setOpen] = useState(null)
  const search = useRef(null)
  const due = useRef(null)

  const go = changes => {
    const next = new URLSearchParams(text)
    for (const [name, value] of Object.entries({ offset: null, ...changes }))
      value ? next.set(name, value) : next.delete(name)
    location.hash = `#/tenants${next.size > 0 ? `?${next}` : ''}`
  }

  useEffect(() => setElsewhere(0), [text])
  useEffect(
    () =>
      on('tenants', rows => {
        const changed = new Map(rows.map(row => [row.id, row]))
        set(before => {
          if (!before.data) return before
          const here = before.data.items.filter(({ id }) => changed.has(id))
          if (here.length > 0) {
            setFresh(new Set(here.map(({ id }) => id)))
            announce(
              here.length === 1
                ? `${here[0].id} is now ${changed.get(here[0].id).status}`
                : `${here.length} rows changed`,
            )
          }
          setElsewhere(count => count + rows.length - here.length)
          return {
            ...before,
            data: { ...before.data, items: before.data.items.map(row => ({ ...row, ...changed.get(row.id) })) },
          }
        })
        // Many changes cost one count.
        due.current ??= setTimeout(() => {
          due.current = null
          counts.again()
        }, 2_000)
      }),
    [],
  )
  useEffect(() => () => clearTimeout(due.current), [])

  // A service that did not answer, and does by now.
  const silent = useRef([])
  silent.current = data?.unreachable ?? []
  useEffect(
    () =>
      on('overview', overview => {
        if (silent.current.some(name => overview[name]?.overview)) again()
      }),
    [],
  )

  const services = counts.data?.services ?? session.services
  const columns = useMemo(
    () => [
      {
        label: 'Tenant',
        sort: 'id',
        cell: row =>
          html`<a href=${`#/tenants/${row.id}`}><b>${row.id}</b></a><span class="under wrap">${row.name}${row.domain && ` · ${row.domain}`}</span>`,
      },
      {
        label: 'Status',
        sort: 'status',
        cell: row => html`<${Badge} sign=${row.lifecycle === 'active' ? row.status : row.lifecycle} />`,
      },
      ...services.map(service => ({
        label: service,
        cell: row =>
          html`<${Cell} progress=${row.services[service]} row=${row.registry?.[service]} target=${row.targets?.[service]} unreachable=${row.unreachable?.includes(service)} />`,
      })),
      { label: 'Changed', sort: 'updated', num: true, cell: row => html`<${Time} at=${row.updatedAt} />` },
    ],
    [services.join()],
  )
  const rows = useMemo(() => {
    if (!data) return []
    const registries = data.registries ?? {}
    const byService = Object.entries(registries).map(([name, { items }]) => [
      name,
      new Map(items.map(item => [item.id, item])),
    ])
    const targets = Object.fromEntries(
      Object.entries(registries).map(([name, { schemaVersion }]) => [name, schemaVersion]),
    )
    return data.items.map(row => ({
      ...row,
      targets,
      unreachable: data.unreachable,
      registry: Object.fromEntries(byService.map(([name, items]) => [name, items.get(row.id)])),
    }))
  }, [data])

  const current = filters.find(([, , wanted]) =>
    ['status', 'lifecycle'].every(name => (filter[name] ?? null) === (wanted[name] ?? null)),
  )?.[0]
  const described =
    [filter.status, filter.lifecycle, filter.service && `in ${filter.service}`, filter.q && `matching “${filter.q}”`]
      .filter(Boolean)
      .join(', ') || 'all of them'
  const total = data?.total ?? 0
  return html`
    <${Head} title="Tenants">
      <${ActionButton} onClick=${() => setOpen('bulk')} busy=${total === 0}>Act on ${plural(total, 'tenant')}…</${ActionButton}>
      <${ActionButton} first onClick=${() => setOpen('create')}>Create a tenant</${ActionButton}>
    </${Head}>
    <form class="filters" role="search" onSubmit=${event => {
      event.preventDefault()
      go({ q: search.current.value.trim() })
    }}>
      <input ref=${search} type="search" aria-label="Search by id, name or domain" placeholder="Id, name or domain" key=${filter.q ?? ''} defaultValue=${filter.q ?? ''} />
      <button type="submit" class="act">Search</button>
      <div class="chips" role="group" aria-label="Filter">${filters.map(
        ([
          name,
          label,
          wanted,
        ]) => html`<a key=${name} href=${`#/tenants?${new URLSearchParams({ ...pick(query, ['q', 'sort', 'order', ...(wanted.status ? ['service'] : [])]), ...wanted })}`} aria-current=${name === current ? 'true' : undefined}>
          ${label}${counts.data && html` <span class="small">${counts.data[name].toLocaleString()}</span>`}</a>`,
      )}</div>
      <label><span class="sr">Service of the status</span><select value=${filter.service ?? ''} disabled=${!filter.status} title=${filter.status ? undefined : 'Choose a status first.'} onChange=${event => go({ service: event.target.value })}>
        <option value="">Any service</option>${services.map(name => html`<option value=${name}>${name}</option>`)}</select></label>
    </form>
    ${error && html`<${Failure} error=${error} again=${again} />`}
    ${data?.unreachable?.length > 0 && html`<p class="note" role="status">${data.unreachable.join(' and ')} ${data.unreachable.length === 1 ? 'does' : 'do'} not answer: the statuses here are the last that identity received.</p>`}
    <p class="sr" aria-live="polite">${said}</p>
    <section class="card flush" aria-busy=${loading}>
      ${
        elsewhere > 0 &&
        html`<div class="titled small"><span>${plural(elsewhere, 'change')} outside of these rows.</span>
          <button type="button" class="act slim" onClick=${() => {
            setElsewhere(0)
            again()
            counts.again()
          }}>Show them</button></div>`
      }
      ${
        data && rows.length === 0
          ? total === 0 && Object.keys(filter).length === 0
            ? html`<${Empty} title="No tenants yet">Create the first one: it is made in every service.</${Empty}>`
            : total > 0
              ? html`<${Empty} title="No tenants this far">The list has ${plural(total, 'tenant')}. <button type="button" class="act link" onClick=${() => go({})}>Show the first page</button></${Empty}>`
              : html`<${Empty} title="No tenant fits">Nothing matches ${described}. <a href="#/tenants">Show all</a></${Empty}>`
          : data
            ? html`<${Table} label="Tenants by services" columns=${columns} rows=${rows} keyOf=${({ id }) => id} rowClass=${({ id }) => (fresh.has(id) ? 'fresh' : '')}
                sort=${sort} onSort=${by => go({ sort: by, order: sort.by === by && !sort.descending ? 'desc' : null })} />`
            : !error && html`<p class="loading">Reading the tenants…</p>`
      }
      ${
        data &&
        rows.length > 0 &&
        html`<div class="pager"><span>${(offset + 1).toLocaleString()}–${Math.min(offset + PAGE, total).toLocaleString()} of ${total.toLocaleString()}</span>
          <span class="end"><button type="button" class="act slim" disabled=${offset === 0} onClick=${() => go({ offset: Math.max(0, offset - PAGE) || null })}>Previous</button>
          <button type="button" class="act slim" disabled=${offset + PAGE >= total} onClick=${() => go({ offset: offset + PAGE })}>Next</button></span></div>`
      }
    </section>
    ${open === 'create' && html`<${CreateTenant} identity=${identity} onClose=${() => setOpen(null)} />`}
    ${
      open === 'bulk' &&
      html`<${BulkActions} identity=${identity} filter=${filter} total=${total} described=${described} again=${() => {
        again()
        counts.again()
      }} onClose=${() => setOpen(null)} />`
    }`
}
