// Whether a pooler in transaction mode keeps named statements for its clients (PgBouncer does from 1.21 on), and in which databases
// they may be used. The pooler itself is asked, by a statement that reads under which name the server knows it: a pooler that keeps
// statements names them anew. Invariants: the question leaves nothing in a session behind a pooler without them; unproven, no statement
// has a name. A pooler that keeps them goes on answering by the plan of an earlier schema, also for the same text under another name: then
// no statement of that database has a name until the pooler's sessions are new.
// If the connection is lost during the question: it throws, and the next connection asks.
import { LRUCache } from 'lru-cache'

/** What is known of one pooler. */
export interface PooledStatements {
  /** It was not asked yet, or had none a while ago. */
  readonly mustAsk: boolean
  mayUse(database: string): boolean
  learn(keeps: boolean): void
  /** A named statement of this database was refused as out of date, or as unknown. */
  refused(database: string): void
}

/** One that was upgraded is noticed within this. */
const ASK_AGAIN_MS = 60_000
/** `server_lifetime` of PgBouncer: its sessions are new by then. */
const NEW_SESSIONS_MS = 3_600_000
const MOST_DATABASES = 10_000

/** @param report is called with each answer that differs from the one before */
export function createPooledStatements(report: (keeps: boolean) => void): PooledStatements {
  let keeps: boolean | null = null
  let askedAt = 0
  const outdated = new LRUCache<string, true>({ max: MOST_DATABASES, ttl: NEW_SESSIONS_MS })
  return {
    get mustAsk() {
      return keeps === null || (!keeps && performance.now() - askedAt > ASK_AGAIN_MS)
    },
    mayUse: database => keeps === true && !outdated.has(database),
    learn(answer) {
      askedAt = performance.now()
      if (keeps !== answer) report(answer)
      keeps = answer
    },
    refused: database => void outdated.set(database, true),
  }
}

/** A statement's rows, and the name that the driver gave it. */
export interface Named {
  readonly name: string
  readonly rows: readonly { readonly name: string }[]
}

const QUESTION = 'select name from pg_prepared_statements where statement = current_query()'

/**
 * In one transaction, so that all of it is one session. A pooler that refuses the question keeps none.
 * @param run sends a text without a name. @param named sends one with a name
 * @throws the error of a connection that was lost
 */
export async function askPooler(
  run: (text: string) => Promise<unknown>,
  named: (text: string) => Promise<Named>,
): Promise<boolean> {
  await run('begin')
  const answer = await named(QUESTION).catch(() => null)
  if (answer === null) {
    await run('rollback')
    return false
  }
  const { name, rows } = answer
  const asGiven = rows.some(row => row.name === name)
  await run(asGiven ? `deallocate "${name}"; commit` : 'commit')
  return rows.length > 0 && !asGiven
}
