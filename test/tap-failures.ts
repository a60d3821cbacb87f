// What failed, to be printed once more after everything: the run's 11,000 lines are often cut to their last few hundred.
// Each failed point of TAP with its diagnostics, from the assertion out to its test and its file, as it stood.

import { isSkip } from './tap-count.js'

/** Lines of one point's diagnostics; a compared object can have thousands. */
const LONGEST = 60

export class TapFailures {
  readonly lines: string[] = []
  /** Of the failed point whose diagnostics may follow, or which we are in. */
  #indent: string | null = null
  #inside = false
  #taken = 0

  read(line: string): void {
    const indent = /^ */.exec(line)?.[0] ?? ''
    if (this.#inside) {
      if (++this.#taken <= LONGEST) this.lines.push(line)
      if (line !== `${this.#indent}  ...`) return
      if (this.#taken > LONGEST) this.lines.push(`${indent}(${this.#taken - LONGEST} more lines where it stands)`)
      this.#inside = false
      this.#indent = null
      return
    }
    if (this.#indent !== null && line === `${this.#indent}  ---`) {
      this.#inside = true
      this.#taken = 1
      this.lines.push(line)
      return
    }
    this.#indent = null
    if (!/^ *not ok\b/.test(line) || isSkip(line)) return
    this.#indent = indent
    this.lines.push(line)
  }
}
