// The confirmation before something is destroyed: the id is typed back on a terminal; without a terminal, or in a script,
// --yes replaces it. Invariant: no prompt without a terminal.
import { createInterface } from 'node:readline/promises'
import { UsageError } from '../operations/outcome.js'
import { printable } from './printable.js'

/** @throws UsageError unless it was confirmed */
export async function confirm(what: string, id: string, yes: boolean | undefined): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError(`${what} needs a yes, and there is no terminal to ask on: pass --yes.`)
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await lines.question(printable(`${what}. Type ${id} to go on: `))
    if (answer.trim() !== id) throw new UsageError('That is something else: nothing was done.')
  } finally {
    lines.close()
  }
}
