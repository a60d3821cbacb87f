// Counts single tests in TAP 14 as tap writes it: files stand at the margin, their tests one step in, assertions deeper.
// A file comes before its tests (`not ok 1 - file {` … `}`) or after them. One that failed without a failed test counts as
// failed, and so does one that had no test at all, which tap calls skipped.

export class TapCount {
  passed = 0
  failed = 0
  skipped = 0
  /** That have ended. */
  files = 0
  #testsInFile = 0
  #failedInFile = 0
  #openFile: { failed: boolean; skipped: boolean } | null = null

  read(line: string): void {
    const point = /^( {4})?(not )?ok\b(.*)$/.exec(line)
    if (!point) {
      if (line === '}' && this.#openFile) this.#endFile(this.#openFile)
      return
    }
    const [, inside, not, rest = ''] = point
    if (inside) {
      this.#test(not !== undefined, rest)
      return
    }
    const file = { failed: not !== undefined, skipped: isSkip(rest) && !/no tests found/i.test(rest) }
    if (rest.trimEnd().endsWith('{')) this.#openFile = file
    else this.#endFile(file)
  }

  #test(not: boolean, rest: string): void {
    this.#testsInFile++
    if (isSkip(rest)) this.skipped++
    else if (not) {
      this.failed++
      this.#failedInFile++
    } else this.passed++
  }

  #endFile({ failed, skipped }: { failed: boolean; skipped: boolean }): void {
    this.files++
    if (failed && this.#failedInFile === 0) this.failed++
    else if (this.#testsInFile === 0 && !failed) {
      if (skipped) this.skipped++
      else this.failed++
    }
    this.#testsInFile = 0
    this.#failedInFile = 0
    this.#openFile = null
  }
}

/** Of what stands behind a point's name: it says nothing of what was tested. */
export const isSkip = (rest: string): boolean => /# (skip|todo)\b/i.test(rest)
