// A transaction that Kysely begins and ends by calls, over `sql.begin`, which ends with its function: the function waits for
// the call. Invariants: what `sql.begin` promises; an end that it makes by itself (the request is over, the connection
// lost) fails the next call with its reason.
import type { SqlClient, TransactionClient } from '../../plugins/distributed-tenant/index.js'

type Work = (sql: TransactionClient) => Promise<void>

/** The transaction, or a savepoint in it. */
interface Level {
  readonly name: string | null
  readonly sql: TransactionClient
  complete(): void
  undo(): void
  /** Settles when PostgreSQL has ended it. */
  readonly ended: Promise<unknown>
  /** Why it was ended by itself. */
  failure: { readonly reason: unknown } | null
}

class Undone extends Error {}

/** Resolves when PostgreSQL has begun it. */
function open(name: string | null, begin: (work: Work) => Promise<unknown>): Promise<Level> {
  return new Promise((resolve, reject) => {
    const ended = begin(
      sql =>
        new Promise((complete, fail) => {
          const level: Level = {
            name,
            sql,
            complete,
            undo: () => fail(new Undone()),
            get ended() {
              return ended
            },
            failure: null,
          }
          ended.catch(reason => {
            level.failure = { reason }
          })
          resolve(level)
        }),
    )
    ended.catch(reject)
  })
}

export class Transaction {
  readonly #levels: Level[]

  private constructor(outermost: Level) {
    this.#levels = [outermost]
  }

  /** @param options as in BEGIN */
  static async begin(sql: SqlClient, options: string): Promise<Transaction> {
    return new Transaction(await open(null, work => sql.begin(options, work)))
  }

  get sql(): TransactionClient {
    return this.#top.sql
  }

  /** What a statement of it has failed with: the reason of its end, if that was it. */
  reasonOf(error: unknown): unknown {
    return this.#levels.find(({ failure }) => failure)?.failure?.reason ?? error
  }

  async commit(): Promise<void> {
    await this.#complete(0)
  }

  async rollback(): Promise<void> {
    await this.#undo(0)
  }

  async savepoint(name: string): Promise<void> {
    const { sql } = this.#top
    this.#levels.push(await open(name, work => sql.savepoint(work)))
  }

  async rollbackTo(name: string): Promise<void> {
    await this.#undo(this.#find(name))
    // It is there still, to be rolled back to again.
    await this.savepoint(name)
  }

  async release(name: string): Promise<void> {
    await this.#complete(this.#find(name))
  }

  get #top(): Level {
    return this.#levels.at(-1) as Level
  }

  /** As in PostgreSQL: the last of that name. */
  #find(name: string): number {
    const at = this.#levels.findLastIndex(level => level.name === name)
    if (at < 0) throw Object.assign(new Error(`savepoint "${name}" does not exist`), { code: '3B001' })
    return at
  }

  async #complete(from: number): Promise<void> {
    while (this.#levels.length > from) {
      const level = this.#top
      level.complete()
      // Inner ones first; one that fails takes those around it along.
      await level.ended
      this.#levels.pop()
    }
  }

  async #undo(from: number): Promise<void> {
    while (this.#levels.length > from) {
      const level = this.#levels.pop() as Level
      if (level.failure) continue
      level.undo()
      await level.ended.catch(reason => {
        if (!(reason instanceof Undone)) throw reason
      })
    }
  }
}
