// The operator under failure: repeats its call to identity, with one idempotency key, until the answer is definite,
// as a careful client does. Only definite answers count as accepted. A deadline ends the calls with an error.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningStack } from '../../stack/stack.js'

export interface Operator {
  create(id: string): Promise<void>
  rename(id: string, name: string): Promise<void>
  suspend(id: string): Promise<void>
  activate(id: string): Promise<void>
  remove(id: string): Promise<void>
  /** Calls that were repeated because there was no answer or an error. */
  readonly repeated: number
}

interface Call {
  readonly method: 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: object
  /** An answer that says an earlier try, whose answer was lost, had worked. */
  readonly doneBefore?: number
}

const RETRY_MS = 60_000
const ONE_CALL_MS = 5_000

export function createOperator({ info }: RunningStack): Operator {
  let repeated = 0
  let calls = 0

  async function insist({ method, path, body, doneBefore }: Call): Promise<void> {
    const key = `faults-${process.pid}-${++calls}`
    const deadline = performance.now() + RETRY_MS
    for (let tries = 1; ; tries++) {
      const answer = await ask(method, path, body, key)
      if (answer.status >= 200 && answer.status < 300) return
      if (tries > 1 && answer.status === doneBefore) return
      if (answer.status > 0 && answer.status < 500)
        throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
      if (performance.now() > deadline) {
        throw new Error(
          `${method} ${path}: no definite answer in ${RETRY_MS / 1000} s; last ${answer.status} ${answer.text}`,
        )
      }
      repeated++
      await sleep(100)
    }
  }

  /** Status 0: no answer. */
  async function ask(method: string, path: string, body: object | undefined, key: string) {
    try {
      const response = await fetch(`${info.services.identity.url}/api/tenants${path}`, {
        method,
        headers: {
          authorization: `Bearer ${info.adminToken}`,
          'idempotency-key': key,
          connection: 'close',
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        signal: AbortSignal.timeout(ONE_CALL_MS),
      })
      return { status: response.status, text: await response.text() }
    } catch (error) {
      return { status: 0, text: String(error) }
    }
  }

  return {
    create: id =>
      insist({ method: 'POST', path: '', body: { id, name: id, domain: `${id}.example.com` }, doneBefore: 409 }),
    rename: (id, name) => insist({ method: 'PATCH', path: `/${id}`, body: { name } }),
    suspend: id => insist({ method: 'POST', path: `/${id}/suspend` }),
    activate: id => insist({ method: 'POST', path: `/${id}/activate` }),
    remove: id => insist({ method: 'DELETE', path: `/${id}`, doneBefore: 404 }),
    get repeated() {
      return repeated
    },
  }
}
