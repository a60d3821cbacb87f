// Owns what `doctor` looks at in one service, and what each finding means to an operator. A part that cannot be asked is a
// problem of its own and hides no other.
import { connectEvents, readConsumerLag, readStreamState, tenantsDurable } from '../events/index.js'
import { readAuthorities } from '../plugins/distributed-tenant/authorities.js'
import { type Finding, repairable, type Strays } from '../plugins/distributed-tenant/databases/inventory.js'
import { appliedVersion } from '../plugins/distributed-tenant/databases/migrations.js'
import { tenantDatabaseName } from '../plugins/distributed-tenant/databases/names.js'
import { connectRedis } from '../plugins/distributed-tenant/directory/redis.js'
import { parseEntry } from '../plugins/distributed-tenant/directory/remote.js'
import { SEAL_BYTES } from '../plugins/distributed-tenant/directory/seal.js'
import { readEnvironment } from '../plugins/distributed-tenant/environment.js'
import { HOME } from '../plugins/distributed-tenant/placement/instances.js'
import type { TenantId } from '../plugins/distributed-tenant/types.js'
import { sentenceOf } from './outcome.js'
import type { OpenService } from './services.js'
import type { Targets } from './targets.js'

export interface Problem {
  readonly what: string
  /** A tenant, a database, a part. */
  readonly about: string
  /** Where it is, when it is of one instance. */
  readonly instance?: string
  readonly cure: string
  /** Set where it is safe. */
  readonly fix: (() => Promise<void>) | null
}

const VISITS = 4
const LONG_WAIT_SECONDS = 60
const NATS_PATIENCE_MS = 2_000

const problem = (what: string, about: string, cure: string, fix: Problem['fix'] = null): Problem => ({
  what,
  about,
  cure,
  fix,
})

export async function inspect(service: OpenService, targets: Targets, deep: boolean): Promise<Problem[]> {
  const parts = [
    asked('registry and databases', () => fleet(service, targets)),
    asked('outbox, dead events, spares', () => stores(service)),
    asked('stream', () => stream(service)),
    asked('cached lookups', () => cache(service, targets)),
    ...(deep ? [asked('tenant databases', () => visits(service))] : []),
  ]
  return (await Promise.all(parts)).flat()
}

async function asked(part: string, ask: () => Promise<Problem[]>): Promise<Problem[]> {
  try {
    return await ask()
  } catch (error) {
    return [problem('cannot be asked', part, sentenceOf(error))]
  }
}

const cures: Partial<Record<Finding, string>> = {
  database_missing: '`distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_invalid:
    'an interrupted DROP left it: `distributed-tenant restore <archive> --service <name>`, see docs/backup.md',
  database_foreign: 'not owned by the service’s role: look into it, rename it, then `retry` the tenant',
  mark_missing: 'the service looks into it within a minute and marks it again if it is this tenant’s',
  mark_wrong: 'it is another tenant’s or was replaced: look into it, then `retry` the tenant',
  instance_unreachable: 'its instance cannot be asked: is it up, was `init` run with DB_INSTANCES?',
  instance_unknown: 'name its instance in DB_INSTANCES',
}

async function fleet({ name, tenancy }: OpenService, { roleSecret }: Targets): Promise<Problem[]> {
  const { tenants, elsewhere, ...home } = await tenancy.inspectFleet()
  const target = tenancy.fleet.sets.at(-1)?.version ?? 0
  const found: Problem[] = []
  for (const { id, instance, moving, lifecycle, provisioned, schemaVersion, findings } of tenants) {
    if (provisioned === 'removed') continue
    const before = found.length
    const living = lifecycle !== 'deleted'
    // Without the secret nobody can tell whether a verifier is of its key.
    const told = findings.filter(finding => roleSecret !== null || finding !== 'role_key')
    if (living) for (const finding of told) found.push(findingOf(finding, id, tenancy, roleSecret !== null))
    if (living && provisioned !== 'ready') found.push(problem(provisioned, id, `see \`show ${id}\`; \`retry ${id}\``))
    if (living && provisioned === 'ready' && (schemaVersion ?? 0) < target) {
      found.push(
        problem('schema behind', id, `version ${schemaVersion ?? 0} of ${target}: \`migrate --service ${name}\``),
      )
    }
    if (moving !== null) {
      found.push(
        problem(
          'being moved',
          id,
          `it takes no writes; if no move runs: \`move --service ${name} --list\`, then --resume`,
        ),
      )
    }
    for (let at = before; at < found.length; at++) found[at] = { ...(found[at] as Problem), instance }
  }
  const left = await tenancy.fleet.central<{ database: string }[]>`
    select datname as database from pg_database where datname ~ ${`^(copy|past)_${name}_`} order by 1`
  for (const { database } of left)
    found.push(problem('left by a restore', database, 'if none is running: run it again, which ends it'))
  for (const place of [{ instance: HOME, ...home }, ...elsewhere]) found.push(...straysOf(name, place))
  return found
}

function straysOf(
  name: string,
  { instance, strayDatabases, strayRoles, openDatabases }: Strays & { readonly instance: string },
): Problem[] {
  const found: Problem[] = []
  for (const database of strayDatabases)
    found.push(problem('stray database', database, 'no tenant owns it: drop it by hand if nobody needs it'))
  for (const role of strayRoles) found.push(problem('stray role', role, 'no tenant owns it: drop it by hand'))
  for (const database of openDatabases)
    found.push(problem('open to everybody', database, `\`distributed-tenant init --service ${name}\` closes it`))
  return found.map(one => ({ ...one, instance }))
}

function findingOf(finding: Finding, id: TenantId, tenancy: OpenService['tenancy'], mayFix: boolean): Problem {
  if (!repairable.has(finding)) return problem(finding, id, cures[finding] ?? 'look into it')
  return problem(finding, id, 'doctor --fix', mayFix ? () => tenancy.repairTenant(id) : null)
}

async function stores({ name, tenancy }: OpenService): Promise<Problem[]> {
  const { stored } = await tenancy.figures(5_000)
  if (!stored) throw new Error('the central database does not answer in time')
  const { outbox, outboxRefused, deadEvents, spares } = stored
  const found: Problem[] = []
  if (outbox.oldestSeconds > LONG_WAIT_SECONDS) {
    found.push(
      problem(
        'events wait',
        `${outbox.waiting} in the outbox`,
        `the oldest for ${Math.round(outbox.oldestSeconds)} s: is NATS up, is ${name} running?`,
      ),
    )
  }
  if (outboxRefused > 0)
    found.push(
      problem(
        'events refused',
        `${outboxRefused} in the outbox`,
        'the stream will never take them: see outbox.last_error',
      ),
    )
  if (deadEvents > 0) found.push(problem('dead events', String(deadEvents), `\`dead list --service ${name}\``))
  const wanted = tenancy.settings.spares
  if (spares < wanted)
    found.push(
      problem(
        'spares missing',
        `${spares} of ${wanted}`,
        `${name} makes them by itself: is it running, has its instance room?`,
      ),
    )
  return found
}

async function stream({ name, target }: OpenService): Promise<Problem[]> {
  if (!target.nats) return []
  const ca = readAuthorities('NATS_CA_FILE', readEnvironment().NATS_CA_FILE, target.nats)
  const connection = connectEvents({ url: target.nats, ca, name })
  try {
    if (!(await connection.ready(NATS_PATIENCE_MS))) throw new Error(`NATS does not answer: ${connection.lastError()}`)
    const found: Problem[] = []
    const lag = await readConsumerLag(connection, tenantsDurable(name))
    if (!(await streamThere(connection)))
      found.push(problem('stream missing', 'TENANTS', 'identity makes it: is it running?'))
    else if (!lag) found.push(problem('consumer missing', tenantsDurable(name), `${name} makes it: is it running?`))
    else if (lag.pending > 0) found.push(problem('events not taken', String(lag.pending), `is ${name} running?`))
    if (!connection.secured()) found.push(problem('NATS lets anybody in', name, 'give it users: deploy/nats.conf'))
    return found
  } finally {
    await connection.close(500)
  }
}

/** A service's own user may ask of its consumer only; then the stream is as good as there. */
async function streamThere(connection: ReturnType<typeof connectEvents>): Promise<boolean> {
  try {
    return (await readStreamState(connection)) !== null
  } catch {
    return true
  }
}

/** Entries that are another's, or newer than their row: what no service would have written. The seal is the services' to check. */
async function cache({ tenancy }: OpenService, { redis: url }: Targets): Promise<Problem[]> {
  if (!url) return []
  const { service } = tenancy.settings
  const redis = connectRedis(url, 'doctor', readAuthorities('REDIS_CA_FILE', readEnvironment().REDIS_CA_FILE, url))
  redis.on('error', () => {})
  try {
    await new Promise<void>((resolve, reject) => {
      redis.once('ready', resolve)
      setTimeout(() => reject(new Error('Redis does not answer')), NATS_PATIENCE_MS).unref()
    })
    const rows = await tenancy.fleet.central<{ id: TenantId; revision: string }[]>`select id, revision from tenants`
    const found: Problem[] = []
    for (let at = 0; at < rows.length; at += 500) {
      const page = rows.slice(at, at + 500)
      const values = await redis.mgetBuffer(page.map(({ id }) => `fdt:v1:${service}:${id}`))
      page.forEach(({ id, revision }, index) => {
        const value = values[index]
        if (!value) return
        const key = `fdt:v1:${service}:${id}`
        const entry = parseEntry(value.subarray(SEAL_BYTES), id, service, 0)
        const cure = `delete the key ${key}, and find out who wrote it`
        if (typeof entry === 'string') found.push(problem(`cached lookup ${entry}`, id, cure))
        else if (entry.revision > Number(revision)) found.push(problem('cached lookup from the future', id, cure))
      })
    }
    return found
  } finally {
    redis.disconnect()
  }
}

async function visits({ tenancy }: OpenService): Promise<Problem[]> {
  const { central, sets, visit, service } = tenancy.fleet
  const rows = await central<{ id: TenantId; schemaVersion: number; certificate: string }[]>`
    select id, schema_version as "schemaVersion", certificate from tenants
    where provisioned = 'ready' and lifecycle <> 'deleted' order by id`
  const found: Problem[] = []
  const line = rows[Symbol.iterator]()
  const set = sets.at(-1)?.name ?? 'tenant'
  async function worker(): Promise<void> {
    for (const { id, schemaVersion, certificate } of line) {
      try {
        await visit(tenantDatabaseName(id, service), async inside => {
          const [row] = await inside<{ certificate: string }[]>`select certificate from distributed_tenant.certificate`
          if (row?.certificate !== certificate)
            found.push(problem('certificate wrong', id, 'it is another tenant’s database: stop it and look into it'))
          const applied = await appliedVersion(inside, set)
          if (applied !== schemaVersion)
            found.push(
              problem('schema version wrong', id, `the database is at ${applied}, the registry says ${schemaVersion}`),
            )
        })
      } catch (error) {
        found.push(problem('cannot be visited', id, sentenceOf(error)))
      }
    }
  }
  await Promise.all(Array.from({ length: VISITS }, worker))
  return found
}
