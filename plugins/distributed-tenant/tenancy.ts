// Owns the assembly: builds every part bottom-up, without Fastify, so that services and the operator's command share it.
// Only this file constructs. Closing goes the other way round and is safe to call twice.
import { fileURLToPath } from 'node:url'
import type { Redis } from 'ioredis'
import { statusSubject } from '../../events/index.js'
import { createTell, type Tell } from './channels.js'
import { assertDriver } from './connections/driver.js'
import { createNotifications, type NotificationsHandle } from './connections/notifications.js'
import { createPools, type Pools } from './connections/pools.js'
import { type MigrationSet, readMigrations } from './databases/migrations.js'
import { ensureTemplate } from './databases/template.js'
import { createDirectory, type Directory } from './directory/directory.js'
import { connectRedis } from './directory/redis.js'
import { createRemote, type Remote } from './directory/remote.js'
import { createFigures } from './figures.js'
import type { FleetParts } from './fleet/migrate.js'
import { createHealth, type HealthQuestions } from './health.js'
import type { Settings } from './options.js'
import { createProvisioner, type Provisioner } from './provisioning/provisioner.js'
import { createSource, type Source } from './provisioning/source.js'
import { type Streams, startStreams } from './provisioning/streams.js'
import type { SessionClient } from './request/client.js'
import { prepareCentral } from './start.js'
import type { Figures } from './types.js'

export interface Tenancy extends HealthQuestions {
  readonly settings: Settings
  readonly pools: Pools
  readonly directory: Directory
  readonly notifications: NotificationsHandle
  readonly provisioner: Provisioner
  readonly source: Source | null
  readonly figures: (deadlineMs?: number) => Promise<Figures>
  /** What migrations of all tenants work with. */
  readonly fleet: FleetParts
  /** The origin of this tenancy's steps on the diagnostics channel. */
  readonly origin: object
  /**
   * Checks and migrates the central database and builds the template. Waits for a database that is not there yet, in a
   * container, for at most `patienceMs`. @throws what the start is refused for
   */
  prepare(patienceMs?: number): Promise<void>
  /** Begins to publish and to consume. */
  consume(): void
  /** Takes no more events; what runs is finished within the deadline. */
  quiesce(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

const ours = (folder: string): string => fileURLToPath(new URL(`./migrations/${folder}`, import.meta.url))

/** Makes the parts and opens nothing yet but Redis and the listener. */
export function createTenancy(settings: Settings): Tenancy {
  assertDriver()
  const origin = {}
  const tell = createTell(settings.service, origin)
  const centralSets = [
    readMigrations('registry', ours('registry')),
    readMigrations('central', settings.migrations.central),
  ]
  const tenantSets = [readMigrations('mark', ours('mark')), readMigrations('tenant', settings.migrations.tenant)]

  const pools = createPools(settings, tell)
  const central = pools.central.sql
  const notifications = createNotifications({
    open: pools.openListener,
    report: event => tell({ area: 'listener', event }),
  })
  const { redis, owned } = redisOf(settings, tell)
  const remote: Remote | null = redis
    ? createRemote({
        redis,
        service: settings.service,
        ttlMs: settings.cacheTtl,
        report: event => tell({ area: 'cache', event }),
      })
    : null
  const directory = createDirectory({
    central,
    remote,
    notifications,
    cacheTtl: settings.cacheTtl,
    report: event => tell({ area: 'lookup', event }),
  })
  const template = rememberTemplate(settings, pools, tenantSets)
  const provisioner = createProvisioner({
    service: settings.service,
    session: pools.provisioning.session,
    template,
    sets: tenantSets,
    visit: pools.visit,
    statusSubject,
    report: event => tell({ area: 'provision', event }),
  })
  const source = settings.source ? createSource(central) : null
  let streams: Streams | null = null
  const figures = createFigures({
    service: settings.service,
    central,
    schemaVersion: tenantSets.at(-1)?.version ?? 0,
    streams: () => streams,
  })
  const health = createHealth({ settings, pools, directory, remote, streams: () => streams })
  let closed: Promise<void> | null = null

  async function closeAll(): Promise<void> {
    await streams?.stop(5_000)
    await streams?.close()
    directory.close()
    await notifications.close()
    await pools.close(5_000)
    if (owned) redis?.disconnect()
  }

  return {
    settings,
    pools,
    directory,
    notifications,
    provisioner,
    source,
    fleet: { service: settings.service, central, visit: pools.visit, sets: tenantSets },
    origin,
    ...health,
    figures,
    async prepare(patienceMs = Number.POSITIVE_INFINITY) {
      await prepareCentral(settings, pools, centralSets, tell, patienceMs)
      await pools.provisioning.session(template)
    },
    consume() {
      if (!settings.enabled || settings.nats === null || streams) return
      streams = startStreams({
        url: settings.nats,
        settings,
        central,
        notifications,
        apply: { central, provisioner, source },
        tell,
      })
    },
    quiesce: async deadlineMs => streams?.stop(deadlineMs),
    close() {
      closed ??= closeAll()
      return closed
    },
  }
}

/** The template is looked at once per process; a failure is forgotten so that the next provisioning tries again. */
function rememberTemplate(settings: Settings, pools: Pools, sets: readonly MigrationSet[]) {
  let known: Promise<string> | null = null
  return (sql: SessionClient): Promise<string> => {
    known ??= ensureTemplate(sql, { service: settings.service, sets, visit: pools.visit }).catch(error => {
      known = null
      throw error
    })
    return known
  }
}

function redisOf({ redis, service }: Settings, tell: Tell): { redis: Redis | null; owned: boolean } {
  if (typeof redis !== 'string') return { redis, owned: false }
  const client = connectRedis(redis, service)
  client.on('error', error => tell({ area: 'cache', event: { type: 'remote_failed', error } }))
  return { redis: client, owned: true }
}
