// The queries of one connection that ask for types which its session met and does not know.
// If the connection is lost: the question fails with the reason.
import type { SessionTypes } from './array-types.js'
import type { DriverQuery } from './driver.js'

export interface TypeQuestions {
  /** Asks for all that are unknown now. @param settled is called once they are known, or with the error */
  question(settled: (error?: unknown) => void): DriverQuery
  /** Resolves when the types that were unknown are known; rejects when the connection is lost. */
  ask(): Promise<void>
}

/** What the questions need of their connection. */
export interface TypeQuestionsConnection {
  /** Makes a query of the connection's own. */
  query(text: string, settled: (error: unknown, answer?: unknown) => void): DriverQuery
  enterFirst(query: DriverQuery): void
  lost(): Error | null
}

export function createTypeQuestions(types: SessionTypes, connection: TypeQuestionsConnection): TypeQuestions {
  let asking: Promise<void> | null = null

  function question(settled: (error?: unknown) => void): DriverQuery {
    const met = [...types.unknown]
    return connection.query(types.question, (error, answer) => {
      if (error === undefined) types.learn(answer, met)
      settled(error)
    })
  }

  return {
    question,
    ask() {
      asking ??= new Promise<void>((resolve, reject) => {
        const query = question(error => {
          asking = null
          if (error) reject(connection.lost() ?? error)
          else resolve()
        })
        // Not yet: the driver is still busy with the answer.
        queueMicrotask(() => {
          const lost = connection.lost()
          if (lost) query.reject(lost)
          else connection.enterFirst(query)
        })
      })
      return asking
    },
  }
}
