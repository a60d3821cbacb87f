// One question to every service of a command, each by the way that is open to it, and what is said about the ways.
import type { Asking } from '../operations/ways.js'
import type { Context } from './context.js'
import { documented, reportWays } from './way-report.js'

export type Question<T> = Pick<Asking<T>, 'byApi' | 'byDatabase'>

export interface Answers<T> {
  /** In the order of the targets. */
  readonly answers: readonly (readonly [string, T])[]
  /** For the document. */
  readonly through: object
}

export async function askServices<T>(context: Context, question: Question<T>): Promise<Answers<T>> {
  const { askEach } = await import('../operations/ways.js')
  let through: object = {}
  const answers = await askEach(context.targets, {
    ...question,
    direct: context.direct,
    onWays(ways) {
      through = documented(ways)
      reportWays(context, ways)
    },
  })
  return { answers, through }
}
