// The metrics of the process itself, by their usual names. Read at a scrape, and at no other time:
// prom-client’s own set also watches every garbage collection; with it the service used up to a tenth more processor in one run.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import type { Registry } from 'prom-client'
import { Counter, Gauge } from './library.js'

/** Milliseconds between samples of the event loop; only a delay beyond it counts. */
const RESOLUTION_MS = 20

/** @returns how to stop, and what to call before the registry is read */
export function gaugeProcess(registry: Registry): { look: () => void; stop: () => void } {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] })
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of this process, user and system.',
    registers: [registry],
  })
  let counted = 0
  const resident = gauge('process_resident_memory_bytes', 'Resident memory.')
  const started = gauge('process_start_time_seconds', 'When this process started, in seconds since 1970.')
  const used = gauge('nodejs_heap_size_used_bytes', 'Heap that is in use.')
  const total = gauge('nodejs_heap_size_total_bytes', 'Heap that was taken from the system.')
  const late = gauge('nodejs_eventloop_lag_p99_seconds', 'How late the event loop was since the last scrape, p99.')
  const latest = gauge(
    'nodejs_eventloop_lag_max_seconds',
    'How late the event loop was since the last scrape, at most.',
  )
  const busy = gauge('nodejs_eventloop_utilization', 'Share of the time since the last scrape the event loop was busy.')

  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  let before = performance.eventLoopUtilization()
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3)
  started.set(Math.round(Date.now() / 1000 - process.uptime()))

  function look(): void {
    const { user, system } = process.cpuUsage()
    const { used_heap_size: heapUsed, total_heap_size: heapTotal } = getHeapStatistics()
    const spent = (user + system) / 1e6
    // Never backwards, as two kinds of clock may be to each other: a counter refuses that.
    cpu.inc(Math.max(0, spent - counted))
    counted = Math.max(counted, spent)
    const rss = residentBytes()
    if (rss !== null) resident.set(rss)
    used.set(heapUsed)
    total.set(heapTotal)
    late.set(seconds(delay.percentile(99)))
    latest.set(seconds(delay.max))
    delay.reset()
    const now = performance.eventLoopUtilization()
    busy.set(performance.eventLoopUtilization(now, before).utilization)
    before = now
  }
  return { look, stop: () => void delay.disable() }
}

/** Null where it cannot be read: that takes a file descriptor, and none may be free. */
function residentBytes(): number | null {
  try {
    return process.memoryUsage.rss()
  } catch {
    return null
  }
}
