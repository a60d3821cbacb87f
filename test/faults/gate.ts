// A preload (`--import`): stops its own process at a named step (published-steps.ts) until the test lets it go on. Nothing of it runs
// meanwhile, no timer and no answer of a server, so what a test does then comes before the next step on every machine.
// `GATE=<area>.<type or step>[:n]` stops it at the n-th such step: it writes the file `reached` into the folder `GATE_FOLDER`, and goes on
// once there is a file `go`. Without its parent or its folder it ends.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onPublishedSteps } from './published-steps.js'

const { GATE: gate = '', GATE_FOLDER: folder = '' } = process.env
const [point, count = '1'] = gate.split(':')
const parent = process.ppid
const still = new Int32Array(new SharedArrayBuffer(4))
let seen = 0

if (gate) {
  onPublishedSteps((_, name) => {
    if (name !== point || ++seen !== Number(count)) return
    writeFileSync(join(folder, 'reached'), '')
    while (!existsSync(join(folder, 'go'))) {
      if (process.ppid !== parent || !existsSync(folder)) process.kill(process.pid, 'SIGKILL')
      Atomics.wait(still, 0, 0, 10)
    }
  })
}
