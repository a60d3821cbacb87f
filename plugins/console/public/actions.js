// What an operator does: each action asks for as much as it can destroy, says what happened, and needs a role that the service
// enforces. A button that the role does not allow is shown, disabled, with the reason, which assistive technology reads too.
import { currentSession, post } from './api.js'
import { html, useState } from './html.js'
import { Dialog, Failure, say } from './parts.js'

const roles = ['read', 'act', 'administer']
export const mayDo = needed => roles.indexOf(currentSession()?.role) >= roles.indexOf(needed)

let reasons = 0

/** Of a form. `fits`: what it needs is there. At work it keeps the focus, and its form is not sent twice. */
export const Submit = ({ busy, fits = true, tone = '', children }) =>
  html`<button type="submit" class=${`act first ${tone}`} disabled=${!fits} aria-disabled=${busy ? 'true' : undefined}
    onClick=${event => busy && event.preventDefault()}>${children}</button>`

export const ActionButton = ({ role = 'act', children, onClick, tone = '', first, busy, slim }) => {
  const allowed = mayDo(role)
  const [name] = useState(() => `reason-${++reasons}`)
  const look = `act ${tone} ${first ? 'first' : ''} ${slim ? 'slim' : ''}`
  if (allowed)
    return html`<button type="button" class=${look} aria-disabled=${busy ? 'true' : undefined} onClick=${busy ? undefined : onClick}>${children}</button>`
  const reason = `Your role is ${currentSession()?.role}; this needs ${role}.`
  // Not `disabled`: that takes it out of the reach of a keyboard, and its reason with it; of a button at work, the focus.
  return html`<button type="button" class=${look} aria-disabled="true" aria-describedby=${name} title=${reason}>${children}</button>
    <span class="sr" id=${name}>${reason}</span>`
}

/** Does `work` once at a time; a failure is said in full. @returns [busy, run] */
export function useWork() {
  const [busy, set] = useState(false)
  const run = async (work, done) => {
    set(true)
    try {
      const result = await work()
      if (done) say(typeof done === 'function' ? done(result) : done)
      return result
    } catch (error) {
      say(error.message, 'bad')
      return undefined
    } finally {
      set(false)
    }
  }
  return [busy, run]
}

/** A dialog that is confirmed by typing exactly `text`. */
export const Confirm = ({ title, text, label, action, tone = 'danger', children, onDone, onClose }) => {
  const [typed, set] = useState('')
  const [error, fail] = useState(null)
  const [busy, setBusy] = useState(false)
  const submit = async event => {
    event.preventDefault()
    setBusy(true)
    try {
      onDone(await action(typed))
    } catch (error) {
      fail(error)
      setBusy(false)
    }
  }
  const fits = text === null || typed.trim() === text
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${children}
      ${error && html`<${Failure} error=${error} />`}
      ${
        text !== null &&
        html`<label class="field"><span>Type <code>${text}</code> to confirm</span>
          <input type="text" value=${typed} onInput=${event => set(event.target.value)} autocomplete="off" spellcheck="false" /></label>`
      }
      <div class="ends"><button type="button" class="act" onClick=${onClose}>Cancel</button>
        <${Submit} busy=${busy} fits=${fits} tone=${tone}>${label}</${Submit}></div>
    </form>
  </${Dialog}>`
}

/** What can be done with one tenant, by its state. */
export const TenantActions = ({ tenant, identity, again }) => {
  const [busy, run] = useWork()
  const [asking, ask] = useState(null)
  const change = (verb, done) => run(() => post(identity, `fleet/${tenant.id}/${verb}`), done).then(again)
  const deleted = tenant.lifecycle === 'deleted'
  return html`
    ${
      !deleted &&
      html`<${ActionButton} busy=${busy} onClick=${() => change('retry', `${tenant.id}: every service that is not ready tries again.`)}>Retry</${ActionButton}>
      ${
        tenant.lifecycle === 'active'
          ? html`<${ActionButton} busy=${busy} onClick=${() => ask('suspend')}>Suspend</${ActionButton}>`
          : html`<${ActionButton} busy=${busy} onClick=${() => change('activate', `${tenant.id} is served again.`)}>Activate</${ActionButton}>`
      }
      <${ActionButton} role="administer" tone="danger" busy=${busy} onClick=${() => ask('remove')}>Remove</${ActionButton}>`
    }
    ${deleted && html`<${ActionButton} role="administer" busy=${busy} onClick=${() => ask('restore')}>Restore</${ActionButton}>`}
    ${
      asking === 'suspend' &&
      html`<${Confirm} title=${`Suspend ${tenant.id}?`} text=${null} label="Suspend" tone=""
        action=${() => post(identity, `fleet/${tenant.id}/suspend`)}
        onDone=${() => {
          ask(null)
          say(`${tenant.id} is suspended: every service refuses its requests.`)
          again()
        }}
        onClose=${() => ask(null)}><p>Its requests are refused in every service within two seconds. Its data stays, and
        Activate serves it again.</p></${Confirm}>`
    }
    ${
      asking === 'remove' &&
      html`<${Confirm} title=${`Remove ${tenant.id}?`} text=${tenant.id} label="Remove"
        action=${typed => post(identity, `fleet/${tenant.id}/remove`, { confirm: typed.trim() })}
        onDone=${() => {
          ask(null)
          say(`${tenant.id} is removed. Restore brings it back until its databases are dropped.`)
          again()
        }}
        onClose=${() => ask(null)}><p>Every service refuses it from now on. Its databases are kept for the retention time and
        then dropped, for good. Its id is never used again.</p></${Confirm}>`
    }
    ${
      asking === 'restore' &&
      html`<${Confirm} title=${`Restore ${tenant.id}?`} text=${null} label="Restore" tone=""
        action=${() => post(identity, `fleet/${tenant.id}/restore`, {})}
        onDone=${() => {
          ask(null)
          say(`${tenant.id} is restored: the services read it within seconds.`)
          again()
        }}
        onClose=${() => ask(null)}><p>The tenant is active again, under a new version.</p></${Confirm}>`
    }`
}

export const CreateTenant = ({ identity, onClose }) => {
  const [error, fail] = useState(null)
  const [busy, setBusy] = useState(false)
  const submit = async event => {
    event.preventDefault()
    const { name, id, domain } = Object.fromEntries(new FormData(event.target))
    setBusy(true)
    try {
      const made = await post(identity, 'fleet', { name, ...(id && { id }), ...(domain && { domain }) })
      say(`${made.id} is accepted: each service makes its database now.`)
      onClose()
      location.hash = `#/tenants/${made.id}`
    } catch (error) {
      fail(error)
      setBusy(false)
    }
  }
  return html`<${Dialog} title="Create a tenant" onClose=${onClose}>
    <form onSubmit=${submit}>
      <p class="soft">It is accepted at once and made in every service.</p>
      ${error && html`<${Failure} error=${error} />`}
      <label class="field"><span>Name</span><input type="text" name="name" required maxlength="200" placeholder="Acme Corporation" /></label>
      <label class="field"><span>Id <span class="soft">(optional: made from the name)</span></span>
        <input type="text" name="id" maxlength="40" pattern="[a-z0-9]+(-[a-z0-9]+)*" spellcheck="false" placeholder="acme" /></label>
      <label class="field"><span>Domain <span class="soft">(optional)</span></span>
        <input type="text" name="domain" maxlength="253" spellcheck="false" placeholder="acme.example.com" /></label>
      <div class="ends"><button type="button" class="act" onClick=${onClose}>Cancel</button>
        <${Submit} busy=${busy}>Create</${Submit}></div>
    </form>
  </${Dialog}>`
}
