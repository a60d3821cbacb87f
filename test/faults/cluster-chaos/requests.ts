// Requests during a cluster-chaos run, to a replica that is not killed, for tenants that are ready. Each must be served: a
// fail-over of NATS or Redis costs none.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningStack } from '../../../stack/stack.js'

export interface Requests {
  readonly sent: number
  readonly failed: number
  /** Of the first failures. */
  readonly reasons: readonly string[]
  stop(): Promise<void>
}

const TENANTS = 12
const CLIENTS = 3
const PAUSE_MS = 15
const ONE_MS = 10_000
const READY_MS = 180_000

/** Sends them once its tenants are ready. */
export async function startRequests({
  stack,
  url,
  random,
}: {
  readonly stack: RunningStack
  readonly url: string
  readonly random: () => number
}): Promise<Requests> {
  const stopping = new AbortController()
  const reasons: string[] = []
  let sent = 0
  let failed = 0

  /** Not of the load: nothing changes these. */
  async function prepare(): Promise<string[]> {
    const { adminToken, services } = stack.info
    const ids = Array.from({ length: TENANTS }, (_, n) => `asked-${n}`)
    for (const id of ids) {
      const deadline = performance.now() + READY_MS
      while (!stopping.signal.aborted && performance.now() < deadline) {
        const made = await fetch(`${services.identity.url}/api/tenants`, {
          method: 'POST',
          headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
          body: JSON.stringify({ id, name: id }),
          signal: AbortSignal.timeout(ONE_MS),
        }).catch(() => null)
        const answer = made && (made.ok || made.status === 409) ? await ask(id) : 0
        if (answer === 200) break
        await sleep(100)
      }
    }
    return ids
  }

  /** @returns 200, or what went wrong */
  async function ask(id: string): Promise<number | string> {
    try {
      const signal = AbortSignal.timeout(ONE_MS)
      const response = await fetch(`${url}/api/employees`, { headers: { 'hrms-client-id': id }, signal })
      const text = await response.text()
      return response.ok ? 200 : `${response.status} ${text}`
    } catch (error) {
      return String(error)
    }
  }

  async function client(ids: readonly string[]): Promise<void> {
    while (!stopping.signal.aborted) {
      const answer = await ask(ids[Math.floor(random() * ids.length)] as string)
      sent++
      if (answer !== 200) {
        failed++
        if (reasons.length < 20) reasons.push(String(answer))
      }
      await sleep(PAUSE_MS)
    }
  }

  const ids = await prepare()
  const done = Promise.all(Array.from({ length: CLIENTS }, () => client(ids)))
  return {
    reasons,
    get sent() {
      return sent
    },
    get failed() {
      return failed
    },
    async stop() {
      stopping.abort()
      await done
    },
  }
}
