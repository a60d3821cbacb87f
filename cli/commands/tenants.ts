// The commands about single tenants: each is one call of identity, and prints its answer and which way it was asked.
import { Command } from 'commander'
import type { TenantView } from '../../operations/identity-api.js'
import { UsageError } from '../../operations/outcome.js'
import type { TenantActions, TenantWay } from '../../operations/tenant-actions.js'
import { confirm } from '../confirm.js'
import { type Context, contextOf, wholeNumber } from '../context.js'
import { newTenantId, tenantId } from '../tenant-id.js'
import { documented, reportWays } from '../way-report.js'

export function tenantCommands(): Command[] {
  return [list(), show(), create(), ...lifecycle(), remove(), retry()]
}

function list(): Command {
  return new Command('list')
    .description('list tenants')
    .option('--lifecycle <state>', 'only active, suspended or deleted ones')
    .action(async (options: { lifecycle?: string }, command: Command) => {
      const { output, actions, through } = await openedBy(command)
      const tenants = await actions.list(options.lifecycle)
      output.table(
        ['id', 'name', 'domain', 'lifecycle', 'status', 'version', 'created'],
        tenants.map(one => [
          one.id,
          one.name,
          one.domain,
          one.lifecycle,
          one.status,
          one.version,
          new Date(one.createdAt),
        ]),
        'No tenants.',
      )
      output.document({ through, tenants })
    })
}

function show(): Command {
  return new Command('show')
    .description('show a tenant and its state in each service')
    .argument('<tenant>', 'its id', tenantId)
    .action(async (id: string, _options: object, command: Command) => {
      const identity = await openedBy(command)
      print(identity, await identity.actions.show(id))
    })
}

function create(): Command {
  return new Command('create')
    .description('create a tenant in every service')
    .argument('<name>', 'its name, like "Acme Corporation"')
    .option('--id <id>', 'its id; default made from the name', newTenantId)
    .option('--domain <domain>', 'its own domain')
    .option('--settings <json>', 'a JSON object')
    .option('--suspended', 'create it suspended: it is served after `activate`')
    .option('--incarnation <text>', 'for a tenant that identity has lost: the incarnation that `doctor` names')
    .option('--wait <seconds>', 'wait until it is ready everywhere', wholeNumber(0), 30)
    .option('--idempotency-key <key>', 'a repeated call with the same key makes no second tenant')
    .action(async (name: string, options: CreateOptions, command: Command) => {
      const settings = options.settings === undefined ? undefined : readSettings(options.settings)
      const body = {
        name,
        id: options.id,
        domain: options.domain,
        settings,
        lifecycle: options.suspended ? ('suspended' as const) : undefined,
        incarnation: options.incarnation,
      }
      const identity = await openedBy(command)
      const tenant = await identity.actions.create(body, {
        prefer: `wait=${options.wait}`,
        ...(options.idempotencyKey ? { 'idempotency-key': options.idempotencyKey } : {}),
      })
      print(identity, tenant)
      if (options.wait > 0 && tenant.status !== 'ready') {
        throw new Error(`${tenant.id} was accepted and is not ready yet: see \`distributed-tenant show ${tenant.id}\`.`)
      }
    })
}

interface CreateOptions {
  readonly id?: string
  readonly domain?: string
  readonly settings?: string
  readonly suspended?: boolean
  readonly incarnation?: string
  readonly wait: number
  readonly idempotencyKey?: string
}

function readSettings(text: string): object {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError('--settings is no JSON: pass an object like {"plan":"large"}.', { cause: error })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new UsageError('--settings is no JSON object: pass one like {"plan":"large"}.')
}

function lifecycle(): Command[] {
  const described = { suspend: 'refuse a tenant’s requests for now', activate: 'serve a suspended tenant again' }
  return (['suspend', 'activate'] as const).map(verb =>
    new Command(verb)
      .description(described[verb])
      .argument('<tenant>', 'its id', tenantId)
      .action(async (id: string, _options: object, command: Command) => {
        const identity = await openedBy(command)
        print(identity, await identity.actions.change(verb, id))
      }),
  )
}

function remove(): Command {
  return new Command('remove')
    .description('delete a tenant: every service refuses it at once and keeps its database for the retention time')
    .argument('<tenant>', 'its id', tenantId)
    .option('--yes', 'do not ask')
    .action(async (id: string, options: { yes?: boolean }, command: Command) => {
      const { output, actions, through } = await openedBy(command)
      await confirm(`This deletes the tenant ${id} in every service`, id, options.yes)
      await actions.remove(id)
      output.line(`${id} is deleted.`)
      output.document({ id, lifecycle: 'deleted', through })
    })
}

function retry(): Command {
  return new Command('retry')
    .description('make every service that has failed with a tenant retry now')
    .argument('<tenant>', 'its id', tenantId)
    .action(async (id: string, _options: object, command: Command) => {
      const identity = await openedBy(command)
      print(identity, await identity.actions.change('retry', id))
    })
}

interface Identity extends Context {
  readonly actions: TenantActions
  /** For the document. */
  readonly through: object
}

async function openedBy(command: Command): Promise<Identity> {
  const context = await contextOf(command)
  const { tenantActions } = await import('../../operations/tenant-actions.js')
  const { actions, way } = await tenantActions(context.targets, context.direct)
  const ways: Record<string, TenantWay> = { identity: way }
  reportWays(context, ways)
  return { ...context, actions, through: documented(ways) }
}

function print({ output, through }: Identity, tenant: TenantView): void {
  output.line(`${tenant.id}: ${tenant.lifecycle}, ${tenant.status}, version ${tenant.version}`)
  output.table(
    ['service', 'status', 'step', 'attempts', 'next try', 'last error'],
    Object.entries(tenant.services).map(([service, one]) => [
      service,
      one.status,
      one.step,
      one.attempts,
      one.nextTryAt ? new Date(one.nextTryAt) : null,
      one.lastError,
    ]),
  )
  output.document({ ...tenant, through })
}
