// The progress of a benchmark or a hunt on stderr: phase after phase, each shown as the operator's command shows long work.
import { type Progress as Phase, startProgress } from '../cli/progress.js'

export interface Progress {
  begin(what: string, steps: number): void
  step(detail: string): void
  say(line: string): void
  end(): void
}

export const silent: Progress = { begin() {}, step() {}, say() {}, end() {} }

export function createProgress(out: NodeJS.WriteStream = process.stderr): Progress {
  let phase: Phase | undefined
  return {
    begin(what, steps) {
      phase?.end()
      phase = startProgress(what, steps, { show: true, out })
    },
    step: detail => phase?.step(1, detail),
    say(line) {
      phase?.end()
      out.write(`${line}\n`)
    },
    end: () => phase?.end(),
  }
}
