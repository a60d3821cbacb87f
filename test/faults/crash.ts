// A preload (`--import`): ends its own process with SIGKILL at a named step (published-steps.ts), as a power cut would.
// `FAULT=<area>.<type or step>[:n]` dies at the n-th such step. `FAULT=@<folder>` reads `<folder>/<service>` at every step and removes
// the file before it dies, so that exactly one process does, once. `FAULT_TRACE=<file>` lists steps.
import { appendFileSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { onPublishedSteps } from './published-steps.js'

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

function onStep(service: string, name: string): void {
  if (trace) appendFileSync(trace, `${service} ${name}\n`)
  const [point, count = '1'] = wantedOf(service).split(':')
  if (point !== name || ++seen < Number(count)) return
  if (mine(service)) process.kill(process.pid, 'SIGKILL')
}

if (fault || trace) onPublishedSteps(onStep)
