// The output of `npm test`: a line for each file that has ended, on a terminal a line with the running ones, all
// failures at the end, and last `N passed, N failed`. A file that runs for long is named each minute with the test
// it is in.
import type { FileResult } from './file-result.js'

const SLOW_MS = 60_000

export class Report {
  readonly #total: number
  readonly #out = process.stdout
  readonly #short: boolean
  readonly #running = new Map<FileResult, { began: number; named: number }>()
  readonly #ended: FileResult[] = []
  readonly #timer: NodeJS.Timeout

  /** @param short false leaves the lines of files out: something else is printed for each */
  constructor(total: number, short: boolean) {
    this.#total = total
    this.#short = short
    this.#timer = setInterval(() => this.#look(), 1_000)
  }

  begin(file: FileResult): void {
    const began = performance.now()
    this.#running.set(file, { began, named: began })
  }

  end(file: FileResult, how: string | null): void {
    const { began = performance.now() } = this.#running.get(file) ?? {}
    this.#running.delete(file)
    file.end(how)
    this.#ended.push(file)
    if (!this.#short) return
    const { passed, failed, skipped, name } = file
    const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(6)
    const place = `${this.#ended.length}/${this.#total}`.padStart(7)
    this.print(`${place} ${failed > 0 ? 'FAILED' : 'ok    '} ${seconds} s  ${name}  ${counts(passed, failed, skipped)}`)
  }

  /** @returns the exit code. @param silent files that have not ended; @param how a process failed beside its files */
  finish(silent: number, how: string | null = null): number {
    clearInterval(this.#timer)
    this.#clear()
    const sum = (what: 'passed' | 'failed' | 'skipped') => this.#ended.reduce((all, file) => all + file[what], 0)
    const known = sum('failed') + silent
    const failed = known + (known === 0 && how !== null ? 1 : 0)
    const failures = this.#ended.flatMap(file => file.failures)
    if (failures.length > 0) this.print(`\nWhat failed:\n\n${failures.join('\n\n')}\n`)
    if (silent > 0) this.print(`${silent} of ${this.#total} files have not ended: each counts as failed`)
    if (how !== null && known === 0) this.print(how)
    this.print(counts(sum('passed'), failed, sum('skipped')))
    return failed > 0 || sum('passed') === 0 ? 1 : 0
  }

  print(text: string): void {
    this.#clear()
    this.#out.write(`${text}\n`)
  }

  #clear(): void {
    if (this.#short && this.#out.isTTY) this.#out.write('\r\x1b[K')
  }

  #look(): void {
    if (!this.#short) return
    const now = performance.now()
    const running = [...this.#running].map(([file, times]) => {
      const seconds = Math.round((now - times.began) / 1000)
      if (now - times.named >= SLOW_MS) {
        times.named = now
        this.print(`        runs   ${String(seconds).padStart(4)} s  ${file.name}  in: ${file.inside || 'no test yet'}`)
      }
      return `${file.name.replace(/^test\/|\.test\.ts$/g, '')} ${seconds} s`
    })
    if (!this.#out.isTTY) return
    const failed = this.#ended.filter(file => file.failed > 0).length
    const line = `${this.#ended.length}/${this.#total}${failed > 0 ? `, ${failed} FAILED` : ''}  ${running.join(', ')}`
    this.#clear()
    this.#out.write(line.slice(0, this.#out.columns - 1))
  }
}

function counts(passed: number, failed: number, skipped: number): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
