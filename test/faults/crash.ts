// A preload (`--import`): ends its own process with SIGKILL at a named step, as a power cut would, so that product
// code has no crash points. Steps are published on the diagnostics channels synchronously, before or after the
// change they are about. `FAULT=<area>.<type or step>[:n]` dies at the n-th such step. `FAULT=@<folder>` reads
// `<folder>/<service>` at every step and removes the file before it dies, so that exactly one process does, once.
// `FAULT_TRACE=<file>` lists steps.
import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { areas, channelName, highVolumeAreas } from '../../plugins/distributed-tenant/diagnostics/channels.js'

interface PublishedStep {
  readonly area: string
  readonly service: string
  readonly event: { readonly type?: string; readonly step?: string }
}

const { FAULT: fault = '', FAULT_TRACE: trace } = process.env
const folder = fault.startsWith('@') ? fault.slice(1) : null
let wanted = folder === null ? fault : ''
let seen = 0

/** The step at which this service is to die now; a new one is counted from the beginning. */
function wantedOf(service: string): string {
  if (folder === null) return wanted
  let now = ''
  try {
    now = readFileSync(join(folder, service), 'utf8')
  } catch {
    // No step is set.
  }
  if (now !== wanted) seen = 0
  wanted = now
  return now
}

/** False when another process of the service was faster. */
function mine(service: string): boolean {
  if (folder === null) return true
  try {
    unlinkSync(join(folder, service))
    return true
  } catch {
    return false
  }
}

function onStep(message: unknown): void {
  const { area, service, event } = message as PublishedStep
  const what = event.step ?? event.type
  if (what === undefined) return
  const name = `${area}.${what}`
  if (trace) appendFileSync(trace, `${service} ${name}\n`)
  const [point, count = '1'] = wantedOf(service).split(':')
  if (point !== name || ++seen < Number(count)) return
  if (mine(service)) process.kill(process.pid, 'SIGKILL')
}

if (fault || trace) for (const area of areas) if (!highVolumeAreas.has(area)) subscribe(channelName(area), onStep)
