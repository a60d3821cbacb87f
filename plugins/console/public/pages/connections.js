// Who holds connections and who waits, now and over the last ten minutes, as a chart and as a table.
import { html, useEffect, useRef, useState } from '../html.js'
import { Bar, Empty, Failure, Head, plural, Table, useData } from '../parts.js'
import { fromEach, Unanswered } from './dead.js'

const MINUTES = 10
const SHOWN = 20

let loading
/** The chart library, once, when this page is opened. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: 'vendor/uplot.css' })
    const script = Object.assign(document.createElement('script'), { src: 'vendor/uplot.js' })
    script.onload = () => resolve(globalThis.uPlot)
    script.onerror = () => {
      loading = undefined
      reject(new Error('The chart could not be loaded: the table below has its numbers.'))
    }
    document.head.append(style, script)
  })
  return loading
}

const colour = name => {
  const probe = document.createElement('i')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const value = getComputedStyle(probe).color
  probe.remove()
  return value
}

/** Changes with the theme: a drawing does not by itself. */
function useTheme() {
  const [theme, set] = useState(() => colour('--card'))
  useEffect(() => {
    const look = () => set(colour('--card'))
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', look)
    const chosen = new MutationObserver(look)
    chosen.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    return () => {
      dark.removeEventListener('change', look)
      chosen.disconnect()
    }
  }, [])
  return theme
}

const dataOf = (samples, budget) => [
  samples.map(({ at }) => at / 1000),
  samples.map(({ inUse }) => inUse),
  samples.map(({ inUse, idle }) => inUse + idle),
  samples.map(({ waiting }) => waiting),
  samples.map(() => budget),
]

const Chart = ({ samples, budget, label }) => {
  const ref = useRef(null)
  const chart = useRef(null)
  const [failure, fail] = useState(null)
  const theme = useTheme()
  useEffect(() => {
    let gone = false
    let watch
    const place = ref.current
    if (!place) return
    library().then(
      Plot => {
        if (gone) return
        const axis = {
          stroke: colour('--soft'),
          grid: { stroke: colour('--line'), width: 1 },
          ticks: { show: false },
          font: '12px system-ui',
        }
        const line = (label, name, more) => ({
          label,
          stroke: colour(name),
          width: 2,
          points: { show: false },
          ...more,
        })
        chart.current = new Plot(
          {
            width: place.clientWidth,
            height: 200,
            cursor: { y: false },
            legend: { live: false, markers: { dash: (_, at) => ({ 2: 'dotted', 4: 'dashed' })[at] ?? 'solid' } },
            scales: {
              x: { range: (_, __, last) => [last - MINUTES * 60, last] },
              y: { range: (_, __, most) => [0, Math.max(4, Math.ceil(most * 1.15))] },
            },
            axes: [axis, { ...axis, size: 36 }],
            series: [
              {},
              line('In use', '--accent', { fill: colour('--accent-soft') }),
              line('Open', '--soft', { dash: [2, 3] }),
              line('Waiting', '--bad', { fill: colour('--bad'), paths: Plot.paths.bars({ size: [0.8, 8] }) }),
              line('Budget', '--line-strong', { dash: [8, 5], width: 1 }),
            ],
          },
          dataOf(samples, budget),
          place,
        )
        watch = new ResizeObserver(() => chart.current?.setSize({ width: place.clientWidth, height: 200 }))
        watch.observe(place)
      },
      error => gone || fail(error.message),
    )
    return () => {
      gone = true
      watch?.disconnect()
      chart.current?.destroy()
      chart.current = null
    }
  }, [theme])
  useEffect(() => chart.current?.setData(dataOf(samples, budget)), [samples.at(-1)?.at])
  if (failure) return html`<p class="note" role="status">${failure}</p>`
  return html`<figure class="chart" ref=${ref} role="img" aria-label=${label}></figure>`
}

/** The most that each tenant held and waited for in the time that is shown. */
function peaksOf(samples) {
  const peaks = new Map()
  for (const { top } of samples)
    for (const [database, open, waiting] of top) {
      const known = peaks.get(database) ?? [0, 0]
      peaks.set(database, [Math.max(known[0], open), Math.max(known[1], waiting)])
    }
  return peaks
}

const tenantOf = (database, service) => database.slice('tenant_'.length, -service.length - 1)

const Service = ({ service, now, holders, samples }) => {
  const peaks = peaksOf(samples)
  const known = new Map(holders.map(one => [one.database, one]))
  const all = [...new Set([...known.keys(), ...peaks.keys()])]
  const rows = all.slice(0, SHOWN).map(database => ({
    database,
    tenant: tenantOf(database, service),
    now: known.get(database),
    peak: peaks.get(database) ?? [0, 0],
  }))
  const columns = [
    { label: 'Tenant', cell: row => html`<a href=${`#/tenants/${row.tenant}`}>${row.tenant}</a>` },
    { label: 'In use', num: true, cell: row => row.now?.inUse ?? 0 },
    { label: 'Idle', num: true, cell: row => row.now?.idle ?? 0 },
    { label: 'Waiting', num: true, cell: row => row.now?.waiting ?? 0 },
    { label: 'Most held', num: true, cell: row => row.peak[0] },
    { label: 'Most waiting', num: true, cell: row => row.peak[1] },
    { label: 'Refused', num: true, cell: row => row.now?.refused ?? 0 },
  ]
  const most = Math.max(0, ...samples.map(({ inUse }) => inUse))
  const waited = Math.max(0, ...samples.map(({ waiting }) => waiting))
  return html`<section class="card flush"><div class="titled"><h2>${service}</h2>
      <span>${now.inUse} of ${now.budget} in use <${Bar} value=${now.inUse} of=${now.budget} label=${`${now.inUse} of ${now.budget}`} /></span>
      <span class="soft">${now.idle} idle · ${now.waiting} waiting · ${plural(now.refused, 'refusal')} since the start</span></div>
    <div style="padding:0 16px 12px">${
      samples.length > 1
        ? html`<${Chart} samples=${samples} budget=${now.budget} label=${`Connections of ${service}: at most ${most} of ${now.budget} in use and ${waited} waiting over the last ten minutes`} />`
        : html`<p class="soft">The chart begins a few seconds after the service does.</p>`
    }</div>
    ${rows.length === 0 ? html`<${Empty} title="No tenant has a connection">They are opened by the first request of each.</${Empty}>` : html`<${Table} label=${`Tenants with connections of ${service}`} columns=${columns} rows=${rows} keyOf=${({ database }) => database} />`}
    ${all.length > SHOWN && html`<p class="pager">${plural(all.length - SHOWN, 'more tenant')} with connections.</p>`}
  </section>`
}

export const Connections = ({ session }) => {
  const { data, error, again } = useData(() => fromEach(session.services, 'connections'), [])
  return html`
    <${Head} title="Connections" lead="Connections of tenants, of the process that answered: with several replicas each has its own." />
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <${Unanswered} of=${data} />
    ${data ? html`<div class="stack">${data.filter(({ error }) => !error).map(one => html`<${Service} key=${one.service} ...${one} />`)}</div>` : html`<p class="loading">Asking every service…</p>`}`
}
