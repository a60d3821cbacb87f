// Counts single tests in TAP 14 as tap writes it: files stand at the margin, their tests one step in, assertions deeper.
// A file comes before its tests (`not ok 1 - file {` … `}`) or after them; one that failed without a failed test counts.

export class TapCount {
  passed = 0
  failed = 0
  skipped = 0
  #failedInFile = 0
  #openFileFailed = false

  read(line: string): void {
    const point = /^( {4})?(not )?ok\b(.*)$/.exec(line)
    if (!point) {
      if (line === '}') this.#endFile(this.#openFileFailed)
      return
    }
    const [, inside, not, rest = ''] = point
    if (inside) this.#test(not !== undefined, rest)
    else if (rest.trimEnd().endsWith('{')) this.#openFileFailed = not !== undefined
    else this.#endFile(not !== undefined)
  }

  #test(not: boolean, rest: string): void {
    if (/# (skip|todo)\b/i.test(rest)) this.skipped++
    else if (not) {
      this.failed++
      this.#failedInFile++
    } else this.passed++
  }

  #endFile(failed: boolean): void {
    if (failed && this.#failedInFile === 0) this.failed++
    this.#failedInFile = 0
    this.#openFileFailed = false
  }
}
