// The gauges: the state at the moment of a scrape. Connections are counted in memory; values that cost a query have a
// deadline and are kept for some seconds. Invariant: a value that cannot be read is absent from the scrape, not zero and not old.
import type { Registry } from 'prom-client'
import type { AuditStatus } from '../audit/writer.js'
import type { Figures, TenancyHealth, Tenants } from '../distributed-tenant/index.js'
import { createMonitor } from '../health/monitor.js'
import { Gauge } from './library.js'
import type { TenantNamed } from './requests.js'

/** A scraper gives up after 10 s; a query that hangs must not cost it the rest. */
const DEADLINE_MS = 1_000
const FRESH_MS = 5_000

export interface StateOptions {
  readonly registry: Registry
  readonly tenants: Tenants
  /** Where there is an audit log. */
  readonly audit: () => AuditStatus | null
  readonly tenantOf: TenantNamed
  readonly onFailure: (error: unknown) => void
}

type Parts = Pick<TenancyHealth, 'central' | 'cache' | 'events'>

/** @returns the promises to await before the registry is read */
export function gaugeState(options: StateOptions): () => Promise<void> {
  const { tenants, onFailure } = options
  const common = { deadlineMs: DEADLINE_MS, freshMs: FRESH_MS, onFailure }
  const figures = createMonitor<Figures>(tenants.figures, {
    ...common,
    failed: { stored: null, consumers: null, moveSlotBytes: {} },
  })
  const health = createMonitor<Parts | null>(tenants.health, { ...common, failed: null })
  const connections = gaugeConnections(options)
  const parts = gaugeParts(options)
  const stored = gaugeStored(options)
  const consumers = gaugeConsumers(options)
  const instances = gaugeInstances(options)
  const audit = gaugeAudit(options)
  return async () => {
    const [counted, seen] = await Promise.all([figures.current(), health.current()])
    connections()
    parts(seen)
    stored(counted.stored)
    consumers(counted.consumers)
    instances(counted)
    audit()
  }
}

const gauge = <L extends string>(registry: Registry, name: string, help: string, labelNames: readonly L[] = []) =>
  new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] })

function gaugeConnections({ registry, tenants, tenantOf }: StateOptions): () => void {
  const connections = gauge(registry, 'fdt_connections', 'Tenant connections of this process, by state.', ['state'])
  const budget = gauge(registry, 'fdt_connections_budget', 'The most tenant connections this process may have.')
  const waiting = gauge(registry, 'fdt_waiting', 'Claims that wait for a tenant connection.')
  const byInstance = gauge(
    registry,
    'fdt_instance_connections',
    'Tenant connections of this process, by instance of PostgreSQL and state.',
    ['instance', 'state'],
  )
  const chosen = gauge(
    registry,
    'fdt_tenant_connections',
    'Connections of the tenants named in METRICS_TENANTS, by state.',
    ['tenant', 'state'],
  )
  return () => {
    const info = tenants.connectionInfo()
    const { open, idle, inUse, opening } = info
    connections.set({ state: 'idle' }, idle)
    connections.set({ state: 'in_use' }, inUse)
    connections.set({ state: 'opening' }, opening)
    connections.set({ state: 'closing' }, Math.max(0, open - idle - inUse - opening))
    budget.set(info.budget)
    waiting.set(info.waiting)
    for (const [instance, counts] of Object.entries(info.instances)) {
      byInstance.set({ instance, state: 'idle' }, counts.idle)
      byInstance.set({ instance, state: 'in_use' }, counts.inUse)
      byInstance.set({ instance, state: 'opening' }, counts.opening)
    }
    chosen.reset()
    for (const [database, counts] of Object.entries(info.tenants)) {
      const tenant = tenantOf(database)
      if (tenant === undefined) continue
      chosen.set({ tenant, state: 'idle' }, counts.idle)
      chosen.set({ tenant, state: 'in_use' }, counts.inUse)
    }
  }
}

function gaugeParts({ registry }: StateOptions): (seen: Parts | null) => void {
  const up = gauge(
    registry,
    'fdt_part_up',
    '1: the part answers, 0: it does not. One that is not configured is absent.',
    ['part'],
  )
  return seen => {
    up.reset()
    for (const [part, { status }] of seen
      ? ([
          ['database', seen.central],
          ['redis', seen.cache],
          ['nats', seen.events],
        ] as const)
      : []) {
      if (status !== 'off') up.set({ part }, status === 'up' ? 1 : 0)
    }
  }
}

function gaugeStored({ registry }: StateOptions): (stored: Figures['stored']) => void {
  const known = gauge(registry, 'fdt_tenants', 'Tenants in this service’s registry, by state.', [
    'lifecycle',
    'provisioned',
  ])
  // Without labels an unknown gauge would be 0; the label `service` of all of them is the registry's.
  const single = (name: string, help: string) => gauge(registry, name, help)
  const behind = single('fdt_tenants_schema_behind', 'Ready tenants whose schema is older than this release’s.')
  const outbox = single('fdt_outbox_waiting', 'Rows of the outbox that wait to be published.')
  const oldest = single('fdt_outbox_oldest_seconds', 'Age of the oldest of them, 0 when none waits.')
  const refused = single('fdt_outbox_refused', 'Rows of the outbox that the stream refuses permanently.')
  const dead = single('fdt_dead_events', 'Events that were set aside for an operator.')
  const parked = single('fdt_parked_events', 'Events of a newer release that wait until it runs here.')
  const spares = single('fdt_spares', 'Spare databases that wait for a tenant.')
  const moving = single(
    'fdt_moving_seconds',
    'How long the tenant that is being moved for longest has been, 0 when none is.',
  )
  const bytes = single('fdt_central_database_bytes', 'Size of the central database.')
  return stored => {
    known.reset()
    for (const one of [behind, outbox, oldest, refused, dead, parked, spares, moving, bytes]) one.remove()
    if (!stored) return
    for (const { lifecycle, provisioned, count } of stored.registry) known.set({ lifecycle, provisioned }, count)
    behind.set(stored.schemaBehind)
    outbox.set(stored.outbox.waiting)
    oldest.set(stored.outbox.oldestSeconds)
    moving.set(stored.movingSeconds)
    refused.set(stored.outboxRefused)
    dead.set(stored.deadEvents)
    parked.set(stored.parkedEvents)
    spares.set(stored.spares)
    bytes.set(stored.centralBytes)
  }
}

function gaugeInstances({ registry, tenants }: StateOptions): (counted: Figures) => void {
  const full = gauge(
    registry,
    'fdt_instance_full',
    '1: the instance is marked full and takes no new tenants, 0: it takes them.',
    ['instance'],
  )
  const slots = gauge(registry, 'fdt_move_slot_bytes', 'Bytes of the instance’s log that slots of moves keep.', [
    'instance',
  ])
  return ({ stored, moveSlotBytes }) => {
    full.reset()
    slots.reset()
    for (const instance of stored ? Object.keys(tenants.connectionInfo().instances) : [])
      full.set({ instance }, stored?.fullInstances.includes(instance) ? 1 : 0)
    for (const [instance, bytes] of Object.entries(moveSlotBytes)) slots.set({ instance }, bytes)
  }
}

function gaugeAudit({ registry, audit }: StateOptions): () => void {
  const accepting = gauge(
    registry,
    'fdt_audit_accepting',
    '1: audit rows are written; 0: they have waited for too long.',
  )
  const waiting = gauge(registry, 'fdt_audit_waiting', 'Audit rows that wait to be written.')
  const missed = gauge(registry, 'fdt_audit_missed', 'Audit rows left out since the start: the gap in the log.')
  return () => {
    const status = audit()
    for (const one of [accepting, waiting, missed]) one.remove()
    if (!status) return
    accepting.set(status.accepting ? 1 : 0)
    waiting.set(status.waiting)
    missed.set(status.missed)
  }
}

function gaugeConsumers({ registry }: StateOptions): (consumers: Figures['consumers']) => void {
  const pending = gauge(registry, 'fdt_consumer_pending', 'Events not yet delivered to a durable consumer.', [
    'durable',
  ])
  const unanswered = gauge(registry, 'fdt_consumer_ack_pending', 'Events delivered to it and not acknowledged yet.', [
    'durable',
  ])
  return consumers => {
    pending.reset()
    unanswered.reset()
    for (const [durable, lag] of Object.entries(consumers ?? {})) {
      if (!lag) continue
      pending.set({ durable }, lag.pending)
      unanswered.set({ durable }, lag.ackPending)
    }
  }
}
