// The metrics of rarer steps: connections opened and closed, provisioning, events, the relay, caches.
// A step it does not know changes nothing: a newer part may publish more than this file counts.
import { type Area, type PublishedStep, subscribe } from '../distributed-tenant/index.js'
import { Counter, Histogram } from './library.js'
import { type CountOptions, WAITS } from './requests.js'

const LONG = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

const reasons = ['idle', 'evicted', 'yielded', 'released', 'lost', 'shutdown']

const counted = ['connection', 'provision', 'relay', 'events', 'cache', 'listener'] as const satisfies readonly Area[]
/** Rare ones, each of a few steps: counted by their names, new ones too. */
const byName = [
  'change',
  'retry',
  'dead',
  'reconcile',
  'purge',
  'spare',
  'role',
  'transfer',
] as const satisfies readonly Area[]

/** @returns how to stop */
export function countSteps({ registry, origin }: CountOptions): () => void {
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers })
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
    new Histogram({ name, help, labelNames: [...labelNames], buckets, registers })

  const opened = counter('fdt_connections_opened_total', 'Connections that were opened.', ['pool'])
  const failed = counter('fdt_connections_failed_total', 'Connects that failed.', ['pool'])
  const closed = counter(
    'fdt_connections_closed_total',
    'Connections that ended; evicted: closed to make room for another tenant.',
    ['pool', 'reason'],
  )
  const connect = histogram('fdt_connect_seconds', 'From the first packet to ready for queries.', ['pool'], WAITS)
  const provisions = counter('fdt_provisions_total', 'Provisionings that ended.', ['outcome'])
  const steps = histogram('fdt_provision_step_seconds', 'One step of a provisioning.', ['step'], LONG)
  const handled = counter('fdt_events_total', 'Events handled, by durable consumer and outcome.', [
    'durable',
    'outcome',
  ])
  const handling = histogram('fdt_event_seconds', 'An acknowledged event, from its start here.', ['durable'], LONG)
  const relayed = counter('fdt_outbox_published_total', 'Attempts to publish a row of the outbox.', ['outcome'])
  const failures = counter(
    'fdt_part_failures_total',
    'Failures of nats, a consumer, the listener, redis or identity’s feed; each failed try counts, of identity each outage.',
    ['part'],
  )
  const named = counter('fdt_steps_total', 'Steps of low-volume areas, by name.', ['area', 'step'])
  const ignored = counter('fdt_redis_ignored_total', 'Entries in Redis that were not used, by what is wrong.', [
    'reason',
  ])

  const drifts = counter('fdt_drift_total', 'Drift that a comparison found, by what was done about it.', ['action'])
  const incarnations = counter(
    'fdt_other_incarnation_total',
    'Tenants whose database was found to be of an earlier tenant of their id.',
    [],
  )

  // A counter that was never incremented is 0, so that the first time is an increase.
  for (const pool of ['tenant', 'central', 'provisioning']) {
    opened.labels(pool).inc(0)
    failed.labels(pool).inc(0)
    for (const reason of reasons) closed.labels(pool, reason).inc(0)
  }
  for (const outcome of ['published', 'failed', 'refused']) relayed.labels(outcome).inc(0)
  for (const part of ['nats', 'consumer', 'listener', 'redis', 'identity']) failures.labels(part).inc(0)
  for (const action of ['overwritten', 'repaired', 'stopped', 'reported']) drifts.labels(action).inc(0)
  for (const outcome of ['ready', 'failed']) provisions.labels(outcome).inc(0)

  return subscribe(onStep, origin, [...counted, ...byName])

  function onStep(step: PublishedStep): void {
    switch (step.area) {
      case 'connection':
        onConnection(step)
        return
      case 'provision':
        onProvision(step.event)
        return
      case 'events':
        onEvents(step.event)
        return
      case 'reconcile':
        if (step.event.type === 'drift') {
          drifts.labels(step.event.action).inc()
          if (step.event.kind === 'other_incarnation') incarnations.inc()
        } else if (step.event.type === 'identity_unreachable') failures.labels('identity').inc()
        onNamed(step)
        return
      case 'relay':
        if (step.event.type === 'published') relayed.labels('published').inc()
        else if (step.event.type === 'publish_failed') relayed.labels('failed').inc()
        else if (step.event.type === 'publish_refused') relayed.labels('refused').inc()
        return
      case 'cache':
        if (step.event.type === 'remote_failed') failures.labels('redis').inc()
        else ignored.labels(step.event.type.replace('remote_', '')).inc()
        return
      case 'listener':
        if (step.event.type === 'listener_lost') failures.labels('listener').inc()
        return
      default:
        onNamed(step)
    }
  }

  function onNamed({ area, event }: PublishedStep): void {
    const name = 'type' in event ? event.type : 'step' in event ? event.step : 'unnamed'
    named.labels(area, name).inc()
  }

  function onConnection({ pool, event }: Extract<PublishedStep, { area: 'connection' }>): void {
    if (event.type === 'opened') {
      opened.labels(pool).inc()
      connect.labels(pool).observe(event.ms / 1000)
    } else if (event.type === 'open_failed') {
      failed.labels(pool).inc()
    } else if (event.type === 'closed') {
      closed.labels(pool, event.reason).inc()
    }
  }

  function onProvision({ step, ms }: Extract<PublishedStep, { area: 'provision' }>['event']): void {
    // No part of a provisioning.
    if (step === 'hook_failed') return
    if (step === 'failed' || step === 'ready') provisions.labels(step).inc()
    if (step !== 'failed') steps.labels(step).observe(ms / 1000)
  }

  function onEvents(event: Extract<PublishedStep, { area: 'events' }>['event']): void {
    switch (event.type) {
      case 'acked':
        handled.labels(event.durable, 'acked').inc()
        handling.labels(event.durable).observe(event.durationMs / 1000)
        return
      case 'retried':
      case 'dead':
      case 'parked':
      case 'dead_failed':
        handled.labels(event.durable, event.type === 'dead_failed' ? 'retried' : event.type).inc()
        return
      case 'disconnected':
        failures.labels('nats').inc()
        return
      case 'consume_failed':
        failures.labels('consumer').inc()
        return
    }
  }
}
