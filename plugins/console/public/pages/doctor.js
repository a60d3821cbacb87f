// What is wrong with tenants' databases and roles, by the catalogues; and the repairs that touch no data.
import { ActionButton, useWork } from '../actions.js'
import { post } from '../api.js'
import { Cure } from '../commands.js'
import { html } from '../html.js'
import { Badge, Empty, Failure, Head, plural, Table, useData } from '../parts.js'
import { fromEach, Unanswered } from './dead.js'

export const Doctor = ({ session }) => {
  const { data, error, loading, again } = useData(() => fromEach(session.services, 'findings'), [], { every: null })
  const [busy, run] = useWork()
  const rows = (data ?? []).flatMap(({ service, items }) => items.map(item => ({ service, ...item })))
  const more = (data ?? []).reduce((sum, one) => sum + (one.more ?? 0), 0)
  const repair = ({ service, tenant }) =>
    run(() => post(service, `tenants/${tenant}/repair`), `${tenant} is repaired in ${service}.`).then(again)
  const fixable = [
    ...new Map(rows.filter(({ fixable }) => fixable).map(row => [`${row.service} ${row.tenant}`, row])).values(),
  ]
  const repairAll = () =>
    run(
      async () => {
        let failed = 0
        // One after the other: each holds the tenant's lock.
        for (const { service, tenant } of fixable) await post(service, `tenants/${tenant}/repair`).catch(() => failed++)
        if (failed > 0) throw new Error(`${fixable.length - failed} repaired, ${failed} could not be.`)
      },
      () => `${plural(fixable.length, 'tenant')} repaired.`,
    ).then(again)
  const columns = [
    {
      label: 'Service',
      cell: row =>
        html`<b>${row.service}</b>${row.instance !== 'main' && html`<span class="under">${row.instance}</span>`}`,
    },
    {
      label: 'Tenant',
      cell: row =>
        row.tenant
          ? html`<a href=${`#/tenants/${row.tenant}`}>${row.tenant}</a>`
          : html`<span class="soft">none</span>`,
    },
    { label: 'Finding', cell: row => html`<${Badge} sign=${row.fixable ? 'warn' : 'bad'}>${row.what}</${Badge}>` },
    { label: 'Cure', cell: row => html`<span class="wrap"><${Cure} text=${row.cure} /></span>` },
    {
      label: 'Repair',
      num: true,
      cell: row =>
        row.fixable
          ? html`<${ActionButton} slim busy=${busy} onClick=${() => repair(row)}>Repair</${ActionButton}>`
          : html`<span class="soft">by hand</span>`,
    },
  ]
  return html`
    <${Head} title="Doctor" lead="The catalogues of every instance, compared with each service’s registry. A repair gives a tenant its rights, role and verifier again and touches no data.">
      <button type="button" class="act" disabled=${loading} onClick=${again}>Look again</button>
      ${fixable.length > 0 && html`<${ActionButton} first busy=${busy} onClick=${repairAll}>Repair ${plural(fixable.length, 'tenant')}</${ActionButton}>`}</${Head}>
    ${error && html`<${Failure} error=${error} again=${again} />`}
    <${Unanswered} of=${data} />
    <p class="sr" role="status">${loading ? '' : plural(rows.length, 'finding')}</p>
    <section class="card flush" aria-busy=${loading}>${
      !data
        ? html`<p class="loading">Looking through the catalogues…</p>`
        : rows.length === 0
          ? html`<${Empty} title="Nothing is wrong">Every tenant’s database, mark, rights and role are as the registry has them. <code>distributed-tenant doctor --deep</code> also looks inside each database.</${Empty}>`
          : html`<${Table} label="Findings" columns=${columns} rows=${rows} keyOf=${row => `${row.service} ${row.tenant} ${row.what}`} />`
    }
    ${more > 0 && html`<p class="pager">${plural(more, 'more finding')}: run <code>distributed-tenant doctor</code> for all.</p>`}</section>`
}
