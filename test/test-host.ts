// A process that runs one test file after the other: reads their paths from its standard input, a line each, and makes
// each a subtest of its own root, with its own teardowns. Ends with its input.
// Invariant: a file begins after all tests and teardowns of the one before.
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

/** Of the root that each file imports: all that a file calls outside of a test. */
const calls = ['test', 'teardown', 'before', 'setTimeout'] as const

const begin = t.test.bind(t)
t.setTimeout(0)

for await (const file of createInterface({ input: process.stdin })) {
  // Nothing of the host keeps a file alive that waits for what cannot come.
  process.stdin.unref()
  await begin(file, async (own: Test) => {
    own.setTimeout(Number(process.env.TAP_TIMEOUT ?? 0) * 1000)
    for (const call of calls) Object.assign(t, { [call]: (own[call] as () => unknown).bind(own) })
    await import(pathToFileURL(resolve(file)).href)
  })
  process.stdin.ref()
}
