// BEGIN to COMMIT on one use of a connection, with savepoints, in our own statements: the driver's `begin` can end the
// process or run a dead transaction's statements in a new session (docs/decisions/0001). Invariant: it resolves only when the
// server has answered COMMIT; a connection lost during COMMIT rejects with an outcome that is unknown.

import { withCause } from '../connections/failures.js'
import { TenantClientReleased, TenantCommitUnknown } from '../errors.js'
import type { QueryClient, Settled, TransactionClient } from '../types.js'
import type { LeasedConnection, Owner } from './connection-use.js'
import { refusalOf } from './refused-statements.js'
import type { TagMaker } from './tagged-template.js'

/** Statements that make a transaction read only after its BEGIN: `set transaction read only`, or the setting's name. */
const readsOnly = /^\s*set\b[^;]*\bread\s+only\b|\btransaction_read_only\b/i

const ofTemplates = new WeakMap<readonly string[], boolean>()

function makesReadOnly(template: readonly string[]): boolean {
  let makes = ofTemplates.get(template)
  if (makes === undefined) {
    makes = template.some(piece => readsOnly.test(piece))
    ofTemplates.set(template, makes)
  }
  return makes
}

/** A tag whose queries all run on one connection, until `end` makes it refuse. */
export interface Bound {
  readonly tag: QueryClient
  end(): void
  /** The error of the first of its statements that failed, whether its caller has caught it or not. */
  failed: { readonly reason: unknown } | null
}

/** @param place whether a transaction of ours is open, which a statement must not end */
export function bind(use: LeasedConnection, makeTag: TagMaker, user: Owner, place: 'alone' | 'transaction'): Bound {
  let ended = false
  const tag = makeTag(query => {
    if (query.cancelled) return
    if (ended || user.over) return query.reject(new TenantClientReleased())
    const { reject } = query
    query.reject = error => {
      bound.failed ??= { reason: error }
      reject(error)
    }
    const refused = refusalOf(query, place)
    if (refused) {
      query.reject(refused)
      return
    }
    if (place === 'transaction' && makesReadOnly(query.strings)) use.readOnly = true
    use.send(query)
  }, user)
  // No getter: each object with one has a hidden class of its own, which keeps the object until a full collection.
  const bound: Bound = {
    tag,
    end: () => {
      ended = true
    },
    failed: null,
  }
  return bound
}

type Work<T> = (sql: TransactionClient) => T | Promise<T>

export async function transaction<T>(
  use: LeasedConnection,
  bindTo: (use: LeasedConnection) => Bound,
  options: string,
  work: Work<T>,
): Promise<Settled<T>> {
  use.readOnly = /\bread\s+only\b/i.test(options)
  use.connection.transacting = true
  try {
    // Awaited: behind a BEGIN that was cancelled the server would run the first statement by itself, as the driver ends each
    // with a Sync of its own.
    await use.command(`begin ${options.replace(/[^a-z, ]/gi, '')}`)
    const bound = bindTo(use)
    let result: Settled<T>
    try {
      result = await untilLost(use, async () => settleAll(work(withSavepoints(use, bound, bindTo))))
      if (bound.failed) throw bound.failed.reason
    } catch (error) {
      bound.end()
      if (!use.connection.lost) await rollBack(use)
      throw causeOf(error, use, bound)
    }
    bound.end()
    await commit(use, bound)
    return result
  } finally {
    use.readOnly = false
  }
}

/** A rollback that fails leaves a session that must not be used again. */
async function rollBack(use: LeasedConnection): Promise<void> {
  try {
    await use.command('rollback')
    use.connection.transacting = false
  } catch (reason) {
    use.connection.destroy(reason as Error)
  }
}

async function commit(use: LeasedConnection, bound: Bound): Promise<void> {
  let answer: string
  try {
    answer = await use.command('commit')
  } catch (error) {
    if (use.connection.lost) throw withCause(new TenantCommitUnknown(), error)
    throw error
  }
  use.connection.transacting = false
  if (answer === 'COMMIT') return
  // A transaction in which something had failed answers COMMIT with ROLLBACK.
  if (bound.failed) throw bound.failed.reason
  throw Object.assign(new Error('the transaction had failed and was rolled back'), { code: '25P02' })
}

function withSavepoints(
  use: LeasedConnection,
  bound: Bound,
  bindTo: (use: LeasedConnection) => Bound,
): TransactionClient {
  let count = 0
  async function savepoint<T>(nameOrWork: string | Work<T>, maybeWork?: Work<T>): Promise<Settled<T>> {
    const work = typeof nameOrWork === 'function' ? nameOrWork : (maybeWork as Work<T>)
    // The caller's name is only for its reader: two of the same name would hide one another, also one made by hand.
    const name = `distributed_tenant_${count++}`
    await use.command(`savepoint ${name}`)
    const inner = bindTo(use)
    try {
      const client = Object.assign(inner.tag, { savepoint }) as TransactionClient
      const result = await untilLost(use, async () => settleAll(work(client)))
      if (inner.failed) throw inner.failed.reason
      inner.end()
      await use.command(`release savepoint ${name}`)
      return result
    } catch (error) {
      inner.end()
      if (!use.connection.lost) await use.command(`rollback to savepoint ${name}`)
      throw causeOf(error, use, inner)
    }
  }
  return Object.assign(bound.tag, { savepoint }) as TransactionClient
}

/** Fails as soon as the connection is lost, even while the function awaits something else. `work` must not throw. */
export function untilLost<T>(use: LeasedConnection, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const off = use.connection.watch(error => reject(use.failure(error)))
    work().then(resolve, reject).finally(off)
  })
}

/** As in `postgres`: an array of promises is awaited as one. */
const settleAll = <T>(value: T | Promise<T>) =>
  (Array.isArray(value) ? Promise.all(value) : value) as Promise<Settled<T>>

/** "The transaction is aborted" only repeats that an earlier statement failed; a connection may be lost by one that did. */
const causeOf = (error: unknown, use: LeasedConnection, { failed }: Bound): unknown =>
  failed && (codeOf(error) === '25P02' || use.connection.lost) ? failed.reason : error

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code
