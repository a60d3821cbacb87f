// The progress line of long work on stderr: what is being done, how much of it, and about how long it still takes.
// On a terminal one line that is rewritten; elsewhere a line every few seconds.

export interface Progress {
  begin(what: string, steps: number): void
  step(detail: string): void
  say(line: string): void
  end(): void
}

const QUIET_MS = 5_000

export const silent: Progress = { begin() {}, step() {}, say() {}, end() {} }

export function createProgress(out: NodeJS.WriteStream = process.stderr): Progress {
  let what = ''
  let steps = 0
  let done = 0
  let began = 0
  let shown = 0

  function show(line: string, always: boolean): void {
    if (out.isTTY) {
      out.write(`\r\x1b[K${line.slice(0, out.columns - 1)}`)
    } else if (always || performance.now() - shown > QUIET_MS) {
      shown = performance.now()
      out.write(`${line}\n`)
    }
  }

  return {
    begin(name, count) {
      what = name
      steps = count
      done = 0
      began = performance.now()
      show(`${what}: 0 of ${steps}`, true)
    },
    step(detail) {
      done++
      const left = Math.round((((performance.now() - began) / done) * (steps - done)) / 1000)
      show(`${what}: ${done} of ${steps}, ${detail}, about ${left} s left`, done === steps)
    },
    say(line) {
      show(line, true)
    },
    end() {
      if (out.isTTY) out.write('\r\x1b[K')
    },
  }
}
