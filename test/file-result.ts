// The result of one test file, from its TAP: the counts of single tests that passed, failed and were skipped, each
// failure with its place and diagnostics, and the test that the file is in. A file that fails without a failed test
// counts as one failed test, and so does a file without any.
import { readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import type { FinalResults, Parser, Result } from 'tap-parser'

/** Lines of one failure's diagnostics; a compared object can have thousands. */
const LONGEST = 60

export class FileResult {
  readonly name: string
  passed = 0
  failed = 0
  skipped = 0
  /** The printed texts. */
  readonly failures: string[] = []
  /** The test that began last. */
  inside = ''
  /** Output that is no TAP: the last lines show why a file ended early. */
  readonly extra: string[] = []
  #final: FinalResults | null = null

  /** @param name as in the repository; @param parser of the file's TAP */
  constructor(name: string, parser: Parser) {
    this.name = name
    this.#follow(parser)
    parser.on('assert', result => {
      if (result.skip || result.todo) this.skipped++
      else if (result.ok) this.passed++
      else this.failed++
    })
    parser.on('complete', results => {
      this.#final = results
    })
  }

  /** @param how the process ended, unless it ended well */
  end(how: string | null): void {
    const { ok = true, plan } = this.#final ?? {}
    const tests = this.passed + this.failed + this.skipped
    if (this.failed === 0 && (how !== null || !ok)) {
      this.failed++
      const last = this.inside === '' ? '' : `, last in the test: ${this.inside}`
      this.failures.push(cut(`${this.name}\n  ${how ?? 'its TAP is not complete'}${last}`, this.extra))
    } else if (tests === 0) {
      const why = plan?.skipAll && !/no tests found/i.test(plan.comment) ? plan.comment : null
      if (why) this.skipped++
      else {
        this.failed++
        this.failures.push(cut(`${this.name}\n  it has no test`, this.extra))
      }
    } else if (this.failed > 0 && how !== null && this.extra.length > 0) {
      this.failures.push(cut(`${this.name}\n  ${how}`, this.extra))
    }
  }

  /** Failures from the innermost point out: a test that failed only because of one inside it needs no second report. */
  #follow(parser: Parser): void {
    let before = -1
    parser.on('child', child => {
      before = this.failures.length
      this.inside = child.fullname
      this.#follow(child)
    })
    parser.on('assert', result => {
      const explained = before >= 0 && this.failures.length > before && !hasReason(result)
      before = -1
      if (!result.ok && !result.skip && !result.todo && !explained) this.failures.push(describe(this.name, result))
    })
    parser.on('extra', (text: string) => this.extra.push(...text.trimEnd().split('\n')))
  }
}

/** A test that failed because of one inside it has its place alone. */
function hasReason({ diag }: Result): boolean {
  return Object.keys(diag ?? {}).some(key => !['at', 'source', 'stack'].includes(key))
}

function describe(file: string, { fullname, diag }: Result): string {
  const { at, ...rest } = diag ?? {}
  const place = at?.fileName ? `${at.fileName}:${at.lineNumber}:${at.columnNumber}` : file
  const lines = Object.entries(rest).flatMap(([key, value]) => {
    if (typeof value === 'string' && value.includes('\n')) {
      return [
        `${key}:`,
        ...value
          .trimEnd()
          .split('\n')
          .map(line => `  ${line}`),
      ]
    }
    return `${key}: ${typeof value === 'string' ? value : inspect(value, { depth: 8 })}`.split('\n')
  })
  return cut(`${inSource(place)}\n  ${fullname}`, lines.map(inSource))
}

function cut(head: string, lines: readonly string[]): string {
  const more = lines.length - LONGEST
  const shown = more > 0 ? [...lines.slice(0, LONGEST), `(${more} more lines: npm test -- --tap)`] : lines
  return [head, ...shown.map(line => `    ${line}`)].join('\n')
}

/** Places in compiled files become places in the sources: tests run without source maps, as they take a tenth of the time. */
export function inSource(text: string): string {
  return text.replace(
    /(?:file:\/\/)?[^\s()'"]*?\b(dist\/[\w./-]+\.js):(\d+):(\d+)/g,
    (place, file: string, line, column) => {
      try {
        const map = new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')))
        const entry = map.findEntry(Number(line) - 1, Number(column) - 1)
        if (!('originalSource' in entry)) return place
        return `${join(dirname(file), entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
      } catch {
        // Not compiled from a source of the repository.
        return place
      }
    },
  )
}
