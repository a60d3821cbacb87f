// The shell of the console: sign-in, navigation, the state of the live view, and the page that the address names. Addresses are
// behind `#`, with the filter in them, so that they can be sent to a colleague.
import { Submit } from './actions.js'
import { currentSession, onSession, restoreSession, sessionEnded, signIn, signOut, viewed } from './api.js'
import { keepFocus } from './focus.js'
import { html, render, useEffect, useState } from './html.js'
import { closeLive, latestOverview, liveState, on, openLive } from './live.js'
import { Health } from './pages/health.js'
import { Failure, Icon, Messages } from './parts.js'
import { store, stored } from './stored.js'
import { Time } from './times.js'

const lazy = load => {
  let Page
  return props => {
    const [, loaded] = useState(Boolean(Page))
    const [error, fail] = useState(null)
    useEffect(() => {
      if (!Page)
        load().then(found => {
          Page = found
          loaded(true)
        }, fail)
    }, [])
    // By the whole page: a browser may keep the failure of a module.
    if (error)
      return html`<${Failure} error=${{ code: 'PAGE_NOT_LOADED', message: `This page could not be loaded: ${error.message}.` }} again=${() => location.reload()} label="Load again" />`
    return Page ? html`<${Page} ...${props} />` : html`<p class="loading">Loading…</p>`
  }
}

const pages = {
  '': { label: 'Is it us?', icon: 'pulse', view: Health },
  tenants: { label: 'Tenants', icon: 'grid', view: lazy(() => import('./pages/tenants.js').then(one => one.Tenants)) },
  dead: { label: 'Dead events', icon: 'mail', view: lazy(() => import('./pages/dead.js').then(one => one.Dead)) },
  runs: { label: 'Runs', icon: 'run', view: lazy(() => import('./pages/runs.js').then(one => one.Runs)) },
  doctor: { label: 'Doctor', icon: 'doctor', view: lazy(() => import('./pages/doctor.js').then(one => one.Doctor)) },
  connections: {
    label: 'Connections',
    icon: 'plug',
    view: lazy(() => import('./pages/connections.js').then(one => one.Connections)),
  },
  instances: {
    label: 'Instances',
    icon: 'disks',
    view: lazy(() => import('./pages/instances.js').then(one => one.Instances)),
  },
}
const Tenant = lazy(() => import('./pages/tenant.js').then(one => one.Tenant))

/** An address may be cut off or typed. */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [page = '', id] = path.split('/')
  return {
    page: Object.hasOwn(pages, page) ? page : '',
    id: id ? decoded(id) : null,
    query: new URLSearchParams(query),
  }
}

function useRoute() {
  const [now, set] = useState(route())
  useEffect(() => {
    const changed = () => set(route())
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return now
}

const Live = () => {
  const [state, set] = useState(liveState())
  useEffect(() => on('state', set), [])
  const text = { live: 'Live', polling: 'Polling every 5 s', connecting: 'Connecting…', lost: 'Not live' }[state.mode]
  const tone = { live: '', polling: 'wait', connecting: 'wait', lost: 'lost' }[state.mode]
  return html`<div class=${`live ${tone}`} title=${state.message ?? undefined}><i aria-hidden="true"></i>
    <span><span role="status">${text}</span>${state.mode === 'lost' && html` since <${Time} at=${state.since} />`}</span></div>`
}

const themes = ['auto', 'light', 'dark']
function applyTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}
const storedTheme = () => (themes.includes(stored('theme')) ? stored('theme') : 'auto')

const Theme = () => {
  const [theme, set] = useState(storedTheme())
  const choose = event => {
    store('theme', event.target.value)
    applyTheme(event.target.value)
    set(event.target.value)
  }
  return html`<label class="small soft"><span class="sr">Colours</span>
    <select value=${theme} onChange=${choose}>${themes.map(one => html`<option value=${one}>${one === 'auto' ? 'System' : `${one[0].toUpperCase()}${one.slice(1)}`}</option>`)}</select></label>`
}

/** What each page has to say, beside its name. */
function useCounts() {
  const [overview, set] = useState(latestOverview())
  useEffect(() => on('overview', set), [])
  const all = Object.values(overview ?? {})
  const sum = of => all.reduce((total, { overview }) => total + (overview ? of(overview) : 0), 0)
  const down = all.filter(one => one.error).length
  return {
    '': [sum(one => one.findings.filter(found => found.severity === 'bad').length) + down, 'bad'],
    dead: [sum(one => one.figures?.deadEvents ?? 0), 'warn'],
  }
}

const Frame = ({ session }) => {
  const { page, id, query } = useRoute()
  const counts = useCounts()
  const { label, view: View } = pages[page]
  useEffect(() => {
    openLive()
    return closeLive
  }, [])
  const [faults] = counts['']
  useEffect(() => {
    // A tab in the background says it too.
    document.title = `${faults > 0 ? `(${faults}) ` : ''}${page === 'tenants' && id ? id : label} · Console`
  }, [page, id, faults])
  useEffect(() => {
    viewed(page === '' ? 'health' : id ? 'tenant' : page, id)
    scrollTo(0, 0)
  }, [page, id])
  return html`
    <a class="skip" href="#title" onClick=${event => {
      event.preventDefault()
      document.getElementById('title')?.focus()
    }}>To the page</a>
    <div class="frame">
      <header class="side">
        <div class="brand"><img src="icon.svg" alt="" />Console</div>
        <nav aria-label="Pages"><ul>${Object.entries(pages).map(([name, { label, icon }]) => {
          const [count = 0, tone = ''] = counts[name] ?? []
          return html`<li><a class="page" href=${`#/${name}`} aria-current=${name === page ? 'page' : undefined}><${Icon} name=${icon} />${label}
            ${count > 0 && html`<span class=${`count ${tone}`}><span class="sr">: </span>${count}<span class="sr"> to look at</span></span>`}</a></li>`
        })}</ul></nav>
        <div class="foot"><${Live} />
          <div class="small"><b class="wrap">${session.name}</b><div class="soft">${session.role}</div></div>
          <div class="chips"><${Theme} /><button type="button" class="act slim" onClick=${() => signOut().catch(() => location.reload())}>Sign out</button></div>
        </div>
      </header>
      <main>${page === 'tenants' && id ? html`<${Tenant} key=${id} id=${id} session=${session} />` : html`<${View} query=${query} session=${session} />`}</main>
    </div>
    <${Messages} />`
}

const SignIn = ({ signInUrl }) => {
  const [error, fail] = useState(null)
  const [busy, set] = useState(false)
  if (signInUrl)
    return html`<main class="sign-in"><div class="card"><h1>Console</h1><p class="soft" style="margin:8px 0 16px">${sessionEnded() ? 'Your session is over.' : 'You are not signed in.'}</p>
      <a class="button" href=${signInUrl}>Sign in</a></div></main>`
  const submit = async event => {
    event.preventDefault()
    const { name, token } = Object.fromEntries(new FormData(event.target))
    set(true)
    try {
      await signIn(name, token)
    } catch (error) {
      fail(
        error.status === 401
          ? { code: 'Refused', message: 'This token is not one of OPERATOR_TOKEN: check it and try again.' }
          : error,
      )
      // It is typed again, not read again.
      event.target.elements.token.select()
      set(false)
    }
  }
  return html`<main class="sign-in"><form class="card" onSubmit=${submit}>
    <h1>Console</h1><p class="soft" style="margin:6px 0 12px">Sign in as an operator. What you do is in the audit log under your name.</p>
    ${sessionEnded() && !error && html`<p class="note info" role="status">Your session is over. Sign in again to go on where you were.</p>`}
    ${error && html`<${Failure} error=${error} />`}
    <label class="field"><span>Your name</span><input type="text" name="name" required maxlength="100" autocomplete="username" /></label>
    <label class="field"><span>Token</span><input type="password" name="token" required autocomplete="off" /></label>
    <${Submit} busy=${busy}>Sign in</${Submit}>
  </form></main>`
}

const App = () => {
  const [session, set] = useState(currentSession())
  const [state, become] = useState({ loading: true })
  useEffect(() => {
    const off = onSession(set)
    restoreSession().then(
      ({ signInUrl }) => become({ signInUrl }),
      error => become({ error }),
    )
    return off
  }, [])
  if (session) return html`<${Frame} session=${session} />`
  if (state.loading) return html`<p class="loading">Loading the console…</p>`
  if (state.error)
    return html`<main class="sign-in"><div class="card"><${Failure} error=${state.error} again=${() => location.reload()} /></div></main>`
  return html`<${SignIn} signInUrl=${state.signInUrl} />`
}

applyTheme(storedTheme())
keepFocus(document.getElementById('app'))
document.getElementById('app').replaceChildren()
render(html`<${App} />`, document.getElementById('app'))
