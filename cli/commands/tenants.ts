// The commands about single tenants: each is one call of identity's API, and prints its answer.
import { Command } from 'commander'
import { identityApi, type TenantView } from '../../operations/identity-api.js'
import { UsageError } from '../../operations/outcome.js'
import { confirm } from '../confirm.js'
import { type Context, contextOf, wholeNumber } from '../context.js'
import { newTenantId, tenantId } from '../tenant-id.js'

export function tenantCommands(): Command[] {
  return [list(), show(), create(), ...lifecycle(), remove(), retry()]
}

function list(): Command {
  return new Command('list')
    .description('list tenants')
    .option('--lifecycle <state>', 'only active, suspended or deleted ones')
    .action(async (options: { lifecycle?: string }, command: Command) => {
      const { targets, output } = await contextOf(command)
      const tenants: TenantView[] = []
      for await (const tenant of identityApi(targets).tenants(options.lifecycle)) tenants.push(tenant)
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
      output.document({ tenants })
    })
}

function show(): Command {
  return new Command('show')
    .description('show a tenant and its state in each service')
    .argument('<tenant>', 'its id', tenantId)
    .action(async (id: string, _options: object, command: Command) => {
      const context = await contextOf(command)
      print(context, await identityApi(context.targets).call<TenantView>('GET', path(id)))
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
      const context = await contextOf(command)
      const settings = options.settings === undefined ? undefined : readSettings(options.settings)
      const body = {
        name,
        id: options.id,
        domain: options.domain,
        settings,
        lifecycle: options.suspended ? 'suspended' : undefined,
        incarnation: options.incarnation,
      }
      const tenant = await identityApi(context.targets).call<TenantView>('POST', '/api/tenants', {
        body,
        headers: {
          prefer: `wait=${options.wait}`,
          ...(options.idempotencyKey ? { 'idempotency-key': options.idempotencyKey } : {}),
        },
      })
      print(context, tenant)
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
  return Object.entries(described).map(([verb, description]) =>
    new Command(verb)
      .description(description)
      .argument('<tenant>', 'its id', tenantId)
      .action(async (id: string, _options: object, command: Command) => {
        const context = await contextOf(command)
        print(context, await identityApi(context.targets).call<TenantView>('POST', `${path(id)}/${verb}`))
      }),
  )
}

function remove(): Command {
  return new Command('remove')
    .description('delete a tenant: every service refuses it at once and keeps its database for the retention time')
    .argument('<tenant>', 'its id', tenantId)
    .option('--yes', 'do not ask')
    .action(async (id: string, options: { yes?: boolean }, command: Command) => {
      const { targets, output } = await contextOf(command)
      const api = identityApi(targets)
      await confirm(`This deletes the tenant ${id} in every service`, id, options.yes)
      await api.call('DELETE', path(id))
      output.line(`${id} is deleted.`)
      output.document({ id, lifecycle: 'deleted' })
    })
}

function retry(): Command {
  return new Command('retry')
    .description('make every service that has failed with a tenant retry now')
    .argument('<tenant>', 'its id', tenantId)
    .action(async (id: string, _options: object, command: Command) => {
      const context = await contextOf(command)
      print(context, await identityApi(context.targets).call<TenantView>('POST', `${path(id)}/retry`))
    })
}

const path = (id: string): string => `/api/tenants/${encodeURIComponent(id)}`

function print({ output }: Context, tenant: TenantView): void {
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
  output.document(tenant)
}
