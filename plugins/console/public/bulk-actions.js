// One action for all tenants that a filter fits: the number of them is shown first, and an action with another number by then is refused.

import { mayDo, Submit } from './actions.js'
import { ApiError, currentSession, ofService, post } from './api.js'
import { html, useState } from './html.js'
import { Dialog, Failure, plural } from './parts.js'

const verbs = {
  retry: ['Retry', 'Every service that is not ready tries again at once. Ready ones do nothing.'],
  suspend: ['Suspend', 'Their requests are refused in every service.'],
  activate: ['Activate', 'Suspended ones are served again.'],
  migrate: [
    'Migrate',
    'Those whose schema is behind are brought to the release of each service, which does it beside its requests.',
  ],
  remove: ['Remove', 'They are refused from now on, and their databases are dropped after the retention time.'],
}

const MIGRATE_MOST = 1_000
const PAGE = 200

/** The tenants of a filter, page by page, and a run over them in each service. */
async function migrateAll(identity, filter, total) {
  if (total > MIGRATE_MOST)
    throw new ApiError(422, {
      code: 'TOO_MANY_TENANTS',
      message: `The filter fits more than ${MIGRATE_MOST.toLocaleString()} tenants: narrow it, or start a run over all in Runs.`,
    })
  const ids = []
  while (ids.length < total) {
    const query = new URLSearchParams({ ...filter, limit: PAGE, offset: ids.length })
    const { items, total: now } = await ofService(identity, `fleet?${query}`)
    if (now !== total || items.length === 0)
      throw new ApiError(409, {
        code: 'COUNT_CHANGED',
        message: `The filter fits ${plural(now, 'tenant')} by now: look at the list again, then repeat it.`,
      })
    ids.push(...items.map(({ id }) => id))
  }
  const runs = await Promise.all(
    currentSession().services.map(async service => {
      try {
        return { service, ...(await post(service, 'runs', { tenants: ids })) }
      } catch (error) {
        return { service, error }
      }
    }),
  )
  return { runs }
}

/** The same with every tenant that the filter fits: the number first, then the action. */
export const BulkActions = ({ identity, filter, total, described, onClose, again }) => {
  const [action, choose] = useState('retry')
  const [typed, set] = useState('')
  const [outcome, end] = useState(null)
  const [error, fail] = useState(null)
  const [busy, setBusy] = useState(false)
  const words = `remove ${total}`
  const submit = async event => {
    event.preventDefault()
    setBusy(true)
    fail(null)
    try {
      if (action === 'migrate') end(await migrateAll(identity, filter, total))
      else {
        const body = { action, filter, count: total, ...(action === 'remove' && { confirm: typed.trim() }) }
        end(await post(identity, 'fleet/bulk', body))
      }
      again()
    } catch (error) {
      fail(error)
      // Its number is the one of now then.
      if (error.code === 'COUNT_CHANGED') again()
    }
    setBusy(false)
  }
  if (outcome?.runs)
    return html`<${Dialog} title="Migrate: begun" onClose=${onClose}>
      <ul class="findings">${outcome.runs.map(({ service, run, error }) => html`<li><b>${service}</b><span class="wrap">${error ? error.message : run ? html`${plural(run.tenants, 'tenant')} to version ${run.target}` : 'none is behind'}</span></li>`)}</ul>
      <div class="ends"><button type="button" class="act" onClick=${onClose}>Close</button><a class="button" href="#/runs">See the runs</a></div></${Dialog}>`
  if (outcome)
    return html`<${Dialog} title=${`${verbs[action][0]}: done`} onClose=${onClose}>
      <p>${plural(outcome.done, 'tenant')} done, ${outcome.failed.length} refused.</p>
      ${outcome.failed.length > 0 && html`<ul class="findings">${outcome.failed.slice(0, 50).map(one => html`<li><b>${one.id}</b><span>${one.message}</span></li>`)}</ul>`}
      <div class="ends"><button type="button" class="act first" onClick=${onClose}>Close</button></div></${Dialog}>`
  return html`<${Dialog} title=${`${plural(total, 'tenant')}: ${described}`} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${error && html`<${Failure} error=${error} />`}
      <label class="field"><span>Action</span>
        <select value=${action} onChange=${event => choose(event.target.value)}>${Object.entries(verbs).map(
          ([verb, [label]]) =>
            html`<option value=${verb} disabled=${!mayDo(verb === 'remove' || verb === 'migrate' ? 'administer' : 'act')}>${label}</option>`,
        )}</select></label>
      <p class="soft" style="margin-top:8px">${verbs[action][1]}</p>
      ${
        action === 'remove' &&
        html`<label class="field"><span>Type <code>${words}</code> to confirm</span>
          <input type="text" value=${typed} onInput=${event => set(event.target.value)} autocomplete="off" /></label>`
      }
      <div class="ends"><button type="button" class="act" onClick=${onClose}>Cancel</button>
        <${Submit} busy=${busy} fits=${action !== 'remove' || typed.trim() === words} tone=${action === 'remove' ? 'danger' : ''}>
          ${busy ? 'Working…' : `${verbs[action][0]} ${plural(total, 'tenant')}`}</${Submit}></div>
    </form>
  </${Dialog}>`
}
