// The output of `npm test`: a line for each file that has ended, on a terminal a line with the running ones, all
// failures at the end, the slowest files, and last `N passed, N failed`. A file that runs for long is named each minute
// with the test it is in.
import { writeFileSync } from 'node:fs'
import type { FileResult } from './file-result.js'

const SLOW_MS = 60_000
/** How many of the slowest files the end names. */
const SLOWEST = 10

/** What a file took. */
export interface FileTime {
  readonly file: string
  readonly seconds: number
  /** Of its process, its servers and its other children; null where they are not known. */
  readonly processorSeconds: number | null
}

export class Report {
  readonly #total: number
  readonly #out = process.stdout
  readonly #short: boolean
  readonly #running = new Map<FileResult, { began: number; named: number }>()
  readonly #ended: FileResult[] = []
  readonly #times: FileTime[] = []
  readonly #timesFile: string | null
  readonly #timer: NodeJS.Timeout

  /**
   * @param short false leaves the lines of files out: something else is printed for each
   * @param timesFile where the times of all files go as JSON, the longest first
   */
  constructor(total: number, short: boolean, timesFile: string | null = null) {
    this.#timesFile = timesFile
    this.#total = total
    this.#short = short
    this.#timer = setInterval(() => this.#look(), 1_000)
  }

  begin(file: FileResult): void {
    const began = performance.now()
    this.#running.set(file, { began, named: began })
  }

  end(file: FileResult, how: string | null, processorSeconds: number | null = null): void {
    const { began = performance.now() } = this.#running.get(file) ?? {}
    this.#running.delete(file)
    file.end(how)
    this.#ended.push(file)
    const { passed, failed, skipped, name } = file
    const took = (performance.now() - began) / 1000
    this.#times.push({ file: name, seconds: rounded(took), processorSeconds: rounded(processorSeconds) })
    if (!this.#short) return
    const seconds = took.toFixed(1).padStart(6)
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
    this.#finishTimes()
    if (silent > 0) this.print(`${silent} of ${this.#total} files have not ended: each counts as failed`)
    if (how !== null && known === 0) this.print(how)
    this.print(counts(sum('passed'), failed, sum('skipped')))
    return failed > 0 || sum('passed') === 0 ? 1 : 0
  }

  #finishTimes(): void {
    const times = this.#times.sort((a, b) => b.seconds - a.seconds)
    if (this.#timesFile !== null) writeFileSync(this.#timesFile, `${JSON.stringify(times, null, 1)}\n`)
    if (!this.#short || times.length <= SLOWEST) return
    const of = (name: 'seconds' | 'processorSeconds', files = times) =>
      files
        .reduce((sum, file) => sum + (file[name] ?? 0), 0)
        .toFixed(1)
        .padStart(7)
    const line = (name: string, files: FileTime[]) =>
      `${of('seconds', files)} s, ${of('processorSeconds', files)} s of a processor  ${name}`
    const slowest = times.slice(0, SLOWEST).map(time => line(time.file, [time]))
    this.print(['\nThe slowest:', ...slowest, line(`all ${times.length} files`, times), ''].join('\n'))
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

function rounded(seconds: number): number
function rounded(seconds: number | null): number | null
function rounded(seconds: number | null): number | null {
  return seconds === null ? null : Math.round(seconds * 100) / 100
}

function counts(passed: number, failed: number, skipped: number): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
