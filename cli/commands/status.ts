// The command `status`: the state of every tenant in every service, by each service's own registry, read from its operator API or
// its central database: one query for each page of tenants, and no connection to a tenant's database.
import { Command } from 'commander'
import type { OpenService } from '../../operations/open-services.js'
import type { OperatorApi } from '../../operations/operator-api.js'
import { Drift } from '../../operations/outcome.js'
import { DEFAULT_INSTANCE } from '../../plugins/distributed-tenant/config/instances.js'
import { listTenants } from '../../plugins/distributed-tenant/registry/tenants-table.js'
import type { RegistryRow } from '../../plugins/distributed-tenant/types.js'
import { askServices } from '../ask-services.js'
import { contextOf } from '../context.js'

interface State {
  readonly instance: string
  readonly moving: string | null
  readonly lifecycle: string
  readonly provisioned: string
  readonly schemaVersion: number | null
  readonly attempts: number
  readonly step: string | null
  readonly lastError: string | null
}

const PAGE = 1_000

export function statusCommand(): Command {
  return new Command('status')
    .description('show every tenant in every service, with schema versions')
    .option('--problems', 'only tenants that are not ready, or behind, in a service')
    .addHelpText(
      'after',
      '\n`@b`: its database is on the instance b of the service, not on the one of the central database.\nExit code 0: all are ready and at this release’s schema. 3: some are not.',
    )
    .action(async (options: { problems?: boolean }, command: Command) => {
      const context = await contextOf(command)
      const { output } = context
      const { answers: columns, through } = await askServices(context, { byApi: readByApi, byDatabase: readAll })
      const target = new Map(columns.map(([name, { newest }]) => [name, newest]))
      const names = columns.map(([name]) => name)
      const tenants = new Map<string, Record<string, State>>()
      for (const [name, { rows }] of columns) {
        for (const row of rows) tenants.set(row.id, { ...tenants.get(row.id), [name]: stateOf(row) })
      }
      const isWell = (states: Record<string, State>): boolean =>
        names.every(name => {
          const state = states[name]
          if (!state) return false
          return (
            state.lifecycle === 'deleted' ||
            (state.provisioned === 'ready' && (state.schemaVersion ?? 0) >= (target.get(name) ?? 0))
          )
        })
      const all = [...tenants].sort(([a], [b]) => (a < b ? -1 : 1))
      const unwell = all.filter(([, states]) => !isWell(states))
      const shown = options.problems ? unwell : all.filter(([, states]) => names.some(name => isThere(states[name])))
      output.table(
        ['tenant', ...names],
        shown.map(([id, states]) => [id, ...names.map(name => words(states[name], target.get(name) ?? 0))]),
        options.problems ? 'Every tenant is ready everywhere.' : 'No tenants.',
      )
      output.document({
        through,
        target: Object.fromEntries(target),
        tenants: shown.map(([id, states]) => ({ id, services: states })),
        unwell: unwell.length,
      })
      if (unwell.length > 0) throw new Drift(`${unwell.length} of ${all.length} tenants are not ready everywhere.`)
    })
}

interface Registry {
  /** The version of a tenant's schema in the release that was asked. */
  readonly newest: number
  readonly rows: readonly (State & { readonly id: string })[]
}

async function readByApi(api: OperatorApi): Promise<Registry> {
  const rows: (State & { id: string })[] = []
  for (let after = ''; ; ) {
    const query = new URLSearchParams({ after })
    const page = await api.call<Page>('GET', `/tenants?${query}`)
    rows.push(...page.items)
    if (page.next === null) return { newest: page.schemaVersion, rows }
    after = page.next
  }
}

interface Page {
  readonly schemaVersion: number
  readonly items: (State & { id: string })[]
  readonly next: string | null
}

async function readAll({ tenancy }: OpenService): Promise<Registry> {
  const newest = tenancy.fleet.sets.at(-1)?.version ?? 0
  const rows: RegistryRow[] = []
  for (let after = ''; ; ) {
    const page = await listTenants(tenancy.fleet.central, { after, limit: PAGE })
    rows.push(...page)
    const last = page.at(-1)
    if (!last || page.length < PAGE) return { newest, rows }
    after = last.id
  }
}

const stateOf = ({
  instance,
  moving,
  lifecycle,
  provisioned,
  schemaVersion,
  attempts,
  step,
  lastError,
}: State): State => ({
  instance,
  moving,
  lifecycle,
  provisioned,
  schemaVersion,
  attempts,
  step,
  lastError,
})

const isThere = (state: State | undefined): boolean => state !== undefined && state.lifecycle !== 'deleted'

function words(state: State | undefined, target: number): string {
  if (!state) return 'unknown'
  if (state.lifecycle === 'deleted') return state.provisioned === 'ready' ? 'deleted, kept' : 'deleted'
  const provisioned = state.provisioned === 'ready' ? `ready ${state.schemaVersion ?? 0}` : state.provisioned
  const behind = state.provisioned === 'ready' && (state.schemaVersion ?? 0) < target ? ` (behind ${target})` : ''
  const failed = state.provisioned === 'failed' ? ` at ${state.step}, ${state.attempts} attempts` : ''
  const place = state.instance === DEFAULT_INSTANCE ? '' : ` @${state.instance}`
  const moving = state.moving === null ? '' : ', moving'
  return `${state.lifecycle === 'suspended' ? 'suspended, ' : ''}${provisioned}${behind}${failed}${place}${moving}`
}
