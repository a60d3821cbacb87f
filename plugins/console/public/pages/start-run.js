// The start of a run: a migration, which the service carries out itself, and the lines of the command for what only that can do.
import { ActionButton } from '../actions.js'
import { ofService, post } from '../api.js'
import { Command, Place, quoted } from '../commands.js'
import { html, useState } from '../html.js'
import { latestOverview } from '../live.js'
import { Dialog, Failure, plural, say, useData } from '../parts.js'

const kinds = {
  migrate: 'Migrate tenants to this release’s schema',
  backup: 'Back up a tenant, or all',
  move: 'Move a tenant to another instance',
  import: 'Import tenants from one shared server',
}

const idsOf = text => text.split(/[\s,]+/).filter(Boolean)
const tenants = (name, ids) => (ids.length > 0 ? [`--${name} ${ids.map(quoted).join(',')}`] : [])
const line = (...parts) => ['distributed-tenant', ...parts.filter(Boolean)].join(' ')
const today = () => new Date().toISOString().slice(0, 10)

const Text = ({
  label,
  hint,
  value,
  set,
  placeholder,
}) => html`<label class="field"><span>${label}${hint && html` <span class="soft">(${hint})</span>`}</span>
  <input type="text" value=${value} onInput=${event => set(event.target.value)} placeholder=${placeholder} spellcheck="false" autocomplete="off" /></label>`

const Choice = ({ label, value, set, options }) => html`<label class="field"><span>${label}</span>
  <select value=${value} onChange=${event => set(event.target.value)}>${options.map(([name, text = name]) => html`<option value=${name}>${text}</option>`)}</select></label>`

const Check = ({ label, value, set }) =>
  html`<label class="check"><input type="checkbox" checked=${value} onChange=${event => set(event.target.checked)} /> <span>${label}</span></label>`

/** The command, or what is missing for it. */
const Line = ({
  text,
  missing,
  note,
}) => html`<div class="by-command"><div class="titled"><h3>By the command</h3><span class="end"><${Place} /></span></div>
  ${missing ? html`<p class="soft">${missing}</p>` : html`<${Command} text=${text} />`}${note && html`<p class="soft small">${note}</p>`}</div>`

const Migrate = ({ services, preset, onStarted }) => {
  const [service, setService] = useState(preset.service ?? services[0])
  const [only, setOnly] = useState(preset.tenant ?? '')
  const [canaries, setCanaries] = useState('')
  const [error, fail] = useState(null)
  const [busy, setBusy] = useState(false)
  const behind = name => latestOverview()?.[name]?.overview?.figures?.schemaBehind
  const labelOf = name => [
    name,
    behind(name) === undefined ? name : `${name}: ${plural(behind(name), 'tenant')} behind`,
  ]
  const start = async () => {
    setBusy(true)
    fail(null)
    try {
      const [ids, first] = [idsOf(only), idsOf(canaries)]
      const { run } = await post(service, 'runs', {
        ...(ids.length > 0 && { tenants: ids }),
        ...(first.length > 0 && { canaries: first }),
      })
      if (run) return onStarted(service, run)
      say(`No tenant of ${service} is behind: nothing to do.`)
    } catch (error) {
      fail(error)
    }
    setBusy(false)
  }
  return html`
    <${Choice} label="Service" value=${service} set=${setService} options=${services.map(labelOf)} />
    <${Text} label="Tenants" hint="optional: all that are behind" value=${only} set=${setOnly} placeholder="acme, globex" />
    <${Text} label="Canaries" hint="optional: the first one" value=${canaries} set=${setCanaries} placeholder="acme" />
    <p class="soft small lead-in">The service migrates them beside its requests, two at a time, and stops at a canary that fails or
      when more than 5 % have failed. A tenant that fails keeps the version it had.</p>
    ${error && html`<${Failure} error=${error} />`}
    <div class="here"><${ActionButton} role="administer" first busy=${busy} onClick=${start}>Start it in ${service}</${ActionButton}></div>
    <${Line} text=${line('migrate', `--service ${service}`, ...tenants('tenant', idsOf(only)), ...tenants('canary', idsOf(canaries)))} />`
}

const Backup = ({ preset }) => {
  const [tenant, setTenant] = useState(preset.tenant ?? '')
  const [to, setTo] = useState('')
  const [verify, setVerify] = useState(false)
  const where = to.trim() || (tenant.trim() ? '' : `/backups/${today()}`)
  return html`
    <${Text} label="Tenant" hint="empty: every one, and the central databases" value=${tenant} set=${setTenant} placeholder="acme" />
    <${Text} label=${tenant.trim() ? 'File' : 'New folder'} hint="on the machine that runs the command" value=${to} set=${setTo} placeholder=${tenant.trim() ? `${tenant.trim()}.tar` : where} />
    <${Check} label="Restore every archive once, and compare it" value=${verify} set=${setVerify} />
    <${Line} text=${line('backup', tenant.trim() ? quoted(tenant.trim()) : '--all', where && `--to ${quoted(where)}`, verify && '--verify')}
      note="It writes files and runs pg_dump, which a service does not. Its progress is shown here." />`
}

const Move = ({ services, preset }) => {
  const [service, setService] = useState(preset.service ?? services[0])
  const [tenant, setTenant] = useState(preset.tenant ?? '')
  const [chosen, choose] = useState('')
  const [frozen, setFrozen] = useState(false)
  const { data, error } = useData(() => ofService(service, 'instances'), [service], { every: null })
  const instances = data?.items.map(({ name }) => name) ?? []
  const to = instances.includes(chosen) ? chosen : (instances.find(name => name !== 'main') ?? '')
  const alone = data && instances.length < 2
  return html`
    <${Choice} label="Service" value=${service} set=${setService} options=${services.map(name => [name])} />
    <${Text} label="Tenant" value=${tenant} set=${setTenant} placeholder="acme" />
    ${error && html`<${Failure} error=${error} />`}
    ${!alone && html`<${Choice} label="To the instance" value=${to} set=${choose} options=${instances.map(name => [name])} />`}
    <${Check} label="Refuse its writers meanwhile, where it cannot be replicated" value=${frozen} set=${setFrozen} />
    <${Line} text=${line('move', quoted(tenant.trim()), `--to ${quoted(to)}`, `--service ${service}`, frozen && '--frozen')}
      missing=${alone ? `${service} has one instance: name others in DB_INSTANCES.` : tenant.trim() === '' ? 'Name the tenant.' : null}
      note="It needs INIT_PASSWORD, the administrator’s password, in its environment, unless writers are refused. Its progress is shown here." />`
}

const Import = () => {
  const [from, setFrom] = useState('')
  const [only, setOnly] = useState('')
  return html`
    <${Text} label="The shared server and its central database" value=${from} set=${setFrom} placeholder="old-server:5432/central" />
    <${Text} label="Tenants" hint="optional: all of them" value=${only} set=${setOnly} placeholder="acme, globex" />
    <${Line} text=${line('import-hybrid', `--from ${quoted(/^postgres(ql)?:/.test(from.trim()) ? from.trim() : `postgres://postgres@${from.trim()}`)}`, ...tenants('tenant', idsOf(only)), '--dry-run')}
      missing=${from.trim() === '' ? 'Name the server.' : null}
      note="With --dry-run it shows the plan alone; without it, it begins. The password is read from SOURCE_PASSWORD." />`
}

const forms = { migrate: Migrate, backup: Backup, move: Move, import: Import }

/** @param preset of the address: `start`, `tenant`, `service` */
export const StartRun = ({ services, preset, onStarted, onClose }) => {
  const [kind, choose] = useState(Object.hasOwn(kinds, preset.start ?? '') ? preset.start : 'migrate')
  const Form = forms[kind]
  const known = { ...preset, service: services.includes(preset.service) ? preset.service : undefined }
  return html`<${Dialog} title="Start a run" onClose=${onClose}>
    <${Choice} label="What" value=${kind} set=${choose} options=${Object.entries(kinds)} />
    <${Form} key=${kind} services=${services} preset=${known} onStarted=${onStarted} />
    <div class="ends"><button type="button" class="act" onClick=${onClose}>Close</button></div>
  </${Dialog}>`
}
