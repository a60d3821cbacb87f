// The ledger check: identity's accepted tenants, compared with every service's registry, its databases, its outbox,
// the stream and the ledger the API shows. Nothing may be missing, extra or stuck. Asked from outside, as superuser
// and over HTTP: none of the product's own inspection is used. A part that cannot be asked is a difference too,
// never an exception.
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ServiceName, serviceNames } from '../../stack/names.js'
import type { RunningStack } from '../../stack/stack.js'
import { type InsideFacts, type InstanceFacts, readInside, readInstance } from './instance-facts.js'
import { judgeInside, judgeInstance, judgeTenantDatabases } from './judge-databases.js'
import { judgeConsumers, judgeDead, judgeOutbox, judgeStored } from './judge-events.js'
import { judgeLedger, judgeRegistry, type ListedTenant } from './judge-registry.js'
import { readStream } from './stream-facts.js'

export interface LedgerCheckOptions {
  /** Compare these tenants alone, without shared parts; default all and everything. */
  readonly only?: readonly string[]
  /** Look into every tenant's database; default true. */
  readonly inside?: boolean
  /** Dead letters that were provoked: how many each service may have. */
  readonly dead?: number
  /** Deleted tenants must be gone, because there is no retention. */
  readonly purged?: boolean
}

export interface LedgerCheck {
  /** One sentence each; empty when the check is clean. */
  readonly differences: readonly string[]
  readonly tenants: number
  readonly databases: number
  readonly messages: number
  /** Messages of an id that the stream holds already. */
  readonly duplicateDeliveries: number
  /** A tenant that one service made ready twice, or a database with two certificates; one line each. */
  readonly duplicateEffects: readonly string[]
  /** Identity's registry; `ready`: in every service. */
  readonly registry: ReadonlyMap<
    string,
    { readonly version: number; readonly lifecycle: string; readonly ready: boolean }
  >
}

export type Facts = Record<ServiceName, InstanceFacts>

/** The answers of all parts at one moment; null for a part that could not be asked. */
export interface LedgerReading {
  readonly instances: readonly (InstanceFacts | null)[]
  readonly stream: Awaited<ReturnType<typeof readStream>> | null
  readonly listed: readonly ListedTenant[] | null
  readonly unasked: readonly string[]
}

/** @returns the answer, or null after adding the reason to `differences` */
const asker =
  (differences: string[]) =>
  async <T>(what: string, question: Promise<T>): Promise<T | null> => {
    try {
      return await question
    } catch (error) {
      differences.push(`${what} cannot be asked: ${error instanceof Error ? error.message : error}`)
      return null
    }
  }

export async function readLedger(stack: RunningStack): Promise<LedgerReading> {
  const unasked: string[] = []
  const ask = asker(unasked)
  const [instances, stream, listed] = await Promise.all([
    Promise.all(serviceNames.map(name => ask(`the instance of ${name}`, readInstance(stack, name)))),
    ask('the stream', readStream(stack)),
    ask('the API', listTenants(stack)),
  ])
  return { instances, stream, listed, unasked }
}

/**
 * @param reading of this stack, begun after the changes that are to be checked; the tenants' databases are
 * inspected here
 */
export async function checkLedger(
  stack: RunningStack,
  options: LedgerCheckOptions = {},
  reading: Promise<LedgerReading> = readLedger(stack),
): Promise<LedgerCheck> {
  const { instances, stream, listed, unasked } = await reading
  const differences = [...unasked]
  const ask = asker(differences)
  const [identity, employee, core] = instances
  if (!identity || !employee || !core || !stream || !listed) return { ...nothing, differences }
  const { only } = options
  const facts: Facts = only
    ? { identity: of(only, identity), employee: of(only, employee), core: of(only, core) }
    : { identity, employee, core }

  differences.push(
    ...judgeLedger(
      facts.identity,
      listed.filter(({ id }) => !only || only.includes(id)),
    ),
  )
  for (const name of serviceNames) {
    differences.push(...judgeRegistry(name, facts), ...judgeOutbox(name, facts[name]))
    differences.push(...judgeTenantDatabases(name, facts[name], options.purged ?? false))
    if (!only)
      differences.push(
        ...judgeInstance(name, facts[name], sparesOf(stack, name)),
        ...judgeDead(name, facts[name], options.dead ?? 0),
      )
  }
  differences.push(...judgeStored(facts, stream), ...(only ? [] : judgeConsumers(stream)))
  const insides = options.inside === false ? [] : await lookInside(stack, facts, ask)
  differences.push(
    ...insides.flatMap(({ service, tenant, inside }) => judgeInside(service, tenant, inside, schemas[service])),
  )
  return {
    differences,
    tenants: identity.tenants.length,
    databases: serviceNames.reduce((sum, name) => sum + facts[name].databases.filter(isTenants).length, 0),
    messages: stream.messages,
    duplicateDeliveries: [...stream.stored.values()].reduce((sum, count) => sum + count - 1, 0),
    duplicateEffects: [
      ...readyTwice(facts),
      ...insides
        .filter(({ inside }) => inside.certificates.length > 1)
        .map(({ service, tenant }) => `two certificates in the database of ${tenant.id} in ${service}`),
    ],
    registry: new Map(
      identity.tenants.map(({ id, version, lifecycle }) => [id, { version, lifecycle, ready: isReady(id, facts) }]),
    ),
  }
}

const nothing = {
  tenants: 0,
  databases: 0,
  messages: 0,
  duplicateDeliveries: 0,
  duplicateEffects: [],
  registry: new Map(),
}

const isReady = (id: string, facts: Facts): boolean =>
  serviceNames.every(name => facts[name].tenants.some(tenant => tenant.id === id && tenant.provisioned === 'ready'))

/** The default is the product's own. */
const sparesOf = (stack: RunningStack, service: ServiceName): number =>
  Number(stack.services[service].env.TENANT_SPARES ?? 3)

/** The state of some tenants on an instance. */
function of(only: readonly string[], facts: InstanceFacts): InstanceFacts {
  const theirs = (name: string) => only.some(id => name.startsWith(`tenant_${id}_`))
  return {
    ...facts,
    databases: facts.databases.filter(({ name }) => theirs(name)),
    roles: facts.roles.filter(({ name }) => theirs(name)),
    tenants: facts.tenants.filter(({ id }) => only.includes(id)),
    outbox: facts.outbox.filter(({ tenant }) => only.includes(tenant)),
  }
}

const isTenants = ({ name }: { name: string }): boolean => name.startsWith('tenant_')

/** The version a service's own tenant migrations end at. */
const schemas = Object.fromEntries(
  serviceNames.map(name => {
    const folder = fileURLToPath(new URL(`../../../services/${name}/migrations/tenant`, import.meta.url))
    return [name, readdirSync(folder).filter(file => file.includes('.do.')).length]
  }),
) as Record<ServiceName, number>

interface Inside {
  readonly service: ServiceName
  readonly tenant: InstanceFacts['tenants'][number]
  readonly inside: InsideFacts
}

/** Four databases at a time, of those that are there. */
async function lookInside(
  stack: RunningStack,
  facts: Facts,
  ask: <T>(what: string, question: Promise<T>) => Promise<T | null>,
): Promise<Inside[]> {
  const wanted = serviceNames.flatMap(service =>
    facts[service].tenants
      .filter(({ lifecycle }) => lifecycle !== 'deleted')
      .map(tenant => ({ service, tenant, database: `tenant_${tenant.id}_${service}` }))
      .filter(({ database }) => facts[service].databases.some(({ name, invalid }) => name === database && !invalid)),
  )
  const found: Inside[] = []
  const visitor = async (): Promise<void> => {
    for (let next = wanted.shift(); next; next = wanted.shift()) {
      const inside = await ask(next.database, readInside(stack, next.service, next.database))
      if (inside) found.push({ ...next, inside })
    }
  }
  await Promise.all(Array.from({ length: 4 }, visitor))
  return found
}

/** A repeated status is no second provisioning: it is marked as repeated. */
function readyTwice(facts: Facts): string[] {
  const first = new Map<string, string>()
  return serviceNames.flatMap(name =>
    facts[name].outbox.flatMap(({ subject, tenant, repeated, messageId }) => {
      if (subject !== `tenant.ready.${name}` || repeated) return []
      const key = `${name} ${tenant}`
      const earlier = first.get(key)
      first.set(key, messageId)
      return earlier === undefined ? [] : [`${name} made ${tenant} ready twice: ${earlier}, ${messageId}`]
    }),
  )
}

/** Every tenant the admin API knows, deleted ones too. */
async function listTenants({ info }: RunningStack): Promise<ListedTenant[]> {
  const found: ListedTenant[] = []
  for (const lifecycle of ['active', 'suspended', 'deleted']) {
    let after = ''
    do {
      const url = `${info.services.identity.url}/api/tenants?limit=100&lifecycle=${lifecycle}${after && `&after=${after}`}`
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${info.adminToken}`, connection: 'close' },
        signal: AbortSignal.timeout(60_000),
      })
      if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
      const { items, next } = (await response.json()) as { items: ListedTenant[]; next: string | null }
      found.push(...items)
      after = next === null ? '' : encodeURIComponent(next)
    } while (after)
  }
  return found
}
