// The progress of long work on stderr: a bar with rate and time left on a terminal, a line every ten seconds
// elsewhere, nothing with --json or --quiet. (The progress libraries that are still kept draw whole screens; this is one line.)
import { sizeOf } from './output.js'

export interface Progress {
  /** One more is done, or so many. @param detail shown behind the counts */
  step(by?: number, detail?: string): void
  end(): void
}

const LINE_EVERY_MS = 10_000
const DRAW_EVERY_MS = 100
const WIDTH = 24

export function startProgress(
  what: string,
  total: number,
  options: { readonly show: boolean; readonly out?: NodeJS.WriteStream; readonly bytes?: boolean },
): Progress {
  const { show, out = process.stderr, bytes = false } = options
  const began = performance.now()
  let done = 0
  let drawnAt = began

  function draw(now: number, detail: string): void {
    const seconds = (now - began) / 1000
    const rate = done / Math.max(seconds, 0.001)
    const left = rate > 0 ? Math.ceil((total - done) / rate) : null
    const [count, of, each] = bytes ? [done, total, rate].map(sizeOf) : [done, total, rate.toFixed(1)]
    const facts = `${count} of ${of}, ${each} a second${left === null ? '' : `, ${timeOf(left)} left`}${detail && `, ${detail}`}`
    drawnAt = now
    if (!out.isTTY) {
      out.write(`${what}: ${facts}\n`)
      return
    }
    const filled = total === 0 ? WIDTH : Math.min(WIDTH, Math.round((WIDTH * done) / total))
    const bar = `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)}`
    out.write(`\r\u001b[K${`${what} ${bar} ${facts}`.slice(0, (out.columns ?? 80) - 1)}`)
  }

  return {
    step(by = 1, detail = '') {
      done += by
      if (!show) return
      const now = performance.now()
      if (now - drawnAt >= (out.isTTY ? DRAW_EVERY_MS : LINE_EVERY_MS) || (out.isTTY && done === total))
        draw(now, detail)
    },
    end() {
      if (show && out.isTTY) out.write('\r\u001b[K')
    },
  }
}

const timeOf = (seconds: number): string =>
  seconds < 90
    ? `${seconds} s`
    : seconds < 5400
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`
